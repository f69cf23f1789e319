"""Tables of accuracies for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


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
    caption = "accuracy in %; a group's is the mean of its tested classes'"
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
    """Print a table, as wide as it needs to be when the output is a file."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_width(table))
    console.print(table)


def fits(table: Table) -> bool:
    """Whether a table can be shown without a word being cut or wrapped."""
    console = Console()
    return not console.is_terminal or _width(table) <= console.width


def _width(table: Table) -> int:
    """Characters that a line of a table takes where nothing wraps."""
    return Console(width=10_000).measure(table).maximum
