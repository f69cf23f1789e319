"""Every kind of figure of the rows of a report."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from lt_lightning.plots.curves import curves_figure
from lt_lightning.plots.grid import grid_figure
from lt_lightning.plots.groups import groups_figure
from lt_lightning.plots.logits import logits_figure
from lt_lightning.plots.reliability import reliability_figure
from lt_lightning.plots.series import tried
from lt_lightning.plots.tail import tail_figure
from lt_lightning.report import Row, in_words, labels, sections

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS: dict[str, "Callable[[str, Sequence[str], Sequence[Row]], Figure | None]"] = {
    "tail": tail_figure,
    "groups": groups_figure,
    "logits": logits_figure,
    "reliability": reliability_figure,
    "curves": curves_figure,
    "grid": grid_figure,
}

MOST_LINES = 8
"""That can be told apart in one figure."""

_OF_VALIDATION = {"grid": "val", "curves": "train and val"}
"""What figures show that are not of the split that was asked for."""

_ALL_ROWS = ("grid",)
"""Kinds that give each row axes of its own."""


def draw(
    rows: Sequence[Row], kinds: Sequence[str], split: str, most: int = MOST_LINES
) -> "Iterator[tuple[str, Figure, list[str]]]":
    """Draw figures of rows; those of another data set or protocol get another figure.

    Args:
        rows: Of :func:`lt_lightning.report.group`.
        kinds: Keys of :data:`KINDS`.
        split: Whose figures the rows hold, ``test`` or ``val``.
        most: Rows in one figure. Of more, the first is drawn and those that were best on validation images, as far as
            that is known; what they are on the images that are shown has no part in the choice.

    Yields:
        Name of a file without its ending, figure, and labels of the rows that it leaves out.
    """
    for number, ((data, protocol), members) in enumerate(sections(rows).items(), start=1):
        names = labels(members)
        kept = _kept(members, most)
        for kind in kinds:
            title = f"{_OF_VALIDATION.get(kind, split)}, {data}\n{in_words(protocol)}"
            places = list(range(len(members))) if kind in _ALL_ROWS else kept
            figure = KINDS[kind](title, [names[place] for place in places], [members[place] for place in places])
            if figure is not None:
                left_out = [name for place, name in enumerate(names) if place not in places]
                yield kind if number == 1 else f"{kind}_{number}", figure, left_out


def _kept(rows: Sequence[Row], most: int) -> list[int]:
    """The first row, from which the others mostly start, and the best, in the order of the rows."""
    if len(rows) <= most:
        return list(range(len(rows)))
    best = sorted(range(1, len(rows)), key=lambda place: -_validated(rows[place]))[: most - 1]
    return [0, *sorted(best)]


def _validated(row: Row) -> float:
    """The best validation accuracy of what comparisons have tried; below all where nothing was."""
    return max((point["mean"] for point in tried(row)), default=-1.0)
