"""Tables of accuracies for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

_LEAST_FOLDED = 12
"""Characters of a column whose words may be broken."""


def accuracy_table(
    title: str,
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    group_sizes: Mapping[str, int],
    group_thresholds: tuple[int, int],
) -> Table:
    """Accuracies in per cent, a row per method.

    Args:
        title: What the rows have in common.
        rows: Label and accuracies (fractions by name, missing or NaN where a group is empty).
        group_sizes: Number of classes in each group that are tested: others have no part in an accuracy.
        group_thresholds: ``(low, high)`` training images that separate few, medium and many.
    """
    low, high = group_thresholds
    heads = {
        "all": f"all\n{sum(group_sizes.values())} classes",
        "many": f"many (>{high})\n{group_sizes['many']} classes",
        "medium": f"medium\n{group_sizes['medium']} classes",
        "few": f"few (<{low})\n{group_sizes['few']} classes",
        "micro": "micro\nimages",
    }
    caption = "accuracy in %, averaged over classes; micro: share of all images classified correctly"
    table = Table(title=escape(title), title_justify="left", caption=caption)
    table.add_column("")
    for head in heads.values():
        table.add_column(head, justify="right")
    for label, accuracy in rows:
        table.add_row(escape(label), *(percent(accuracy.get(name)) for name in heads))
    return table


def percent(value: float | None) -> str:
    """A fraction in per cent with one decimal; a dash where there is none."""
    return "–" if value is None or value != value else f"{100 * value:.1f}"


def show(table: Table) -> None:
    """Print a table, as wide as it needs to be when the output is a file, or a terminal too narrow for its figures."""
    console = Printer()
    if not console.is_terminal or (_width(table) > console.width and not _narrow(table, console.width)):
        console = Printer(width=_width(table))  # a terminal breaks its lines, but keeps every digit
    console.print(table)


class Printer(Console):
    """Tells of a reader that has gone; rich would end the process without a word."""

    def on_broken_pipe(self) -> None:
        """Called as the error is handled."""
        raise


def fits(table: Table) -> bool:
    """Whether a table can be shown without a word being cut or wrapped."""
    console = Console()
    return not console.is_terminal or _width(table) <= console.width


def _narrow(table: Table, width: int) -> bool:
    """Have a table's columns take no more than ``width`` characters, if they can without a word or figure being cut.

    Left to itself, rich makes all columns equally wide, and cuts what is then too long.
    """
    found = [_widths(column) for column in table.columns]
    least, widths = [low for low, _ in found], [high for _, high in found]
    excess = _width(table) - width
    if excess > sum(widths) - sum(least):
        return False
    for _ in range(excess):
        place = max(range(len(widths)), key=lambda place: (widths[place] > least[place], widths[place]))
        widths[place] -= 1
    for column, wide in zip(table.columns, widths, strict=True):
        column.width = wide
    return True


def _widths(column: Column) -> tuple[int, int]:
    """Characters of a column's longest word, below which it would be cut, and of its longest line."""
    console = Console(width=10_000)
    cells = [console.measure(cell) for cell in (column.header, *column.cells)]
    most = max(cell.maximum for cell in cells)
    if column.no_wrap:
        return most, most
    least = max(cell.minimum for cell in cells)
    return min(least, _LEAST_FOLDED) if column.overflow == "fold" else least, most


def _width(table: Table) -> int:
    """Characters that a line of a table takes where nothing wraps."""
    return Console(width=10_000).measure(table).maximum
