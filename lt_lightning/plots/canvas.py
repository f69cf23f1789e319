"""Empty figures and finished files."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lt_lightning.drafts import new_file
from lt_lightning.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")

_LETTERS_PER_INCH = 14  # of a small title


def new_figure(
    title: str, rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.0, 4.0)
) -> "tuple[Figure, Any]":
    """A figure that no window shows, and its axes as an array ``(rows, columns)``.

    Args:
        title: What all of it shows.
        rows: Of axes.
        columns: Of axes.
        size: Width and height of one of the axes in inches.

    Raises:
        UsageError: If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    wide = int(_LETTERS_PER_INCH * figure.get_figwidth())
    lines = [line for part in title.splitlines() for line in textwrap.wrap(part, wide)]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize="small", parse_math=False)  # a folder may have a $
    return figure, figure.subplots(rows, columns, squeeze=False)


def require_matplotlib() -> None:
    """Say how to get matplotlib where it is not.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError('`plot` needs matplotlib; install it with `pip install "lt_lightning[plot]"`.') from error


def legend(figure: "Figure") -> None:
    """Name each line and bar once, beside the axes, where nothing is hidden; the figure grows by as much."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    made = figure.legend(named.values(), named.keys(), loc="outside right center", fontsize="small")
    for text in made.get_texts():
        text.set_parse_math(False)
    # Axes would give up the room, of which long names leave them none.
    figure.set_figwidth(figure.get_figwidth() + made.get_window_extent().width / figure.dpi)


def color_of(number: int) -> str:
    """The colour of a row, by its place among the rows: the same in every figure, whichever rows that shows."""
    return f"C{number % 10}"


def save(figure: "Figure", path: Path, overwrite: bool = False) -> None:
    """Write a figure in the format that its name ends in, whole or not at all.

    Raises:
        UsageError: If it cannot be written, or there is a file by now that may not be replaced.
    """
    with new_file(path, "--output", overwrite) as draft:
        figure.savefig(draft, format=path.suffix[1:], dpi=150)
