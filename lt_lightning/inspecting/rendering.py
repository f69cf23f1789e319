"""A data set's summary for the terminal, and for a file."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from lt_lightning.inspecting.duplicates import Duplicates
from lt_lightning.inspecting.summary import Summary
from lt_lightning.wording import first_few

_ENDS = 5
"""How many of the largest and of the smallest classes are listed."""


def split_table(summary: Summary, title: str) -> Table:
    """Images by split."""
    table = Table(title=title, title_justify="left")
    table.add_column("split")
    for head in ("images", "classes", "largest", "smallest", "ratio"):
        table.add_column(head, justify="right")
    for name, counts in summary.splits.items():
        there = [count for count in counts if count]
        ratio = f"{max(there) / min(there):.3g}"
        table.add_row(name, f"{sum(there):,}", str(len(there)), f"{max(there):,}", f"{min(there):,}", ratio)
    return table


def group_table(summary: Summary) -> Table:
    """Classes and training images by group."""
    low, high = summary.group_thresholds
    heads = {"many": f"many (>{high})", "medium": "medium", "few": f"few (<{low})"}
    table = Table(title="groups by training images of a class", title_justify="left")
    table.add_column("group")
    for head in ("classes", "images", "share of images"):
        table.add_column(head, justify="right")
    for name, group in summary.groups().items():
        share = 100 * group["images"] / sum(summary.class_counts)
        table.add_row(heads[name], str(group["classes"]), f"{group['images']:,}", f"{share:.1f} %")
    return table


def class_table(summary: Summary) -> Table:
    """The largest and the smallest classes; all of them where they are few."""
    order = sorted(range(len(summary.class_names)), key=lambda number: (-summary.class_counts[number], number))
    table = Table(title="classes, largest first", title_justify="left")
    table.add_column("class")
    for name in summary.splits:
        table.add_column(name, justify="right")
    cut = len(order) > 2 * _ENDS + 1
    for number in order[:_ENDS] if cut else order:
        table.add_row(*_class_row(summary, number))
    if cut:
        table.add_row(f"… {len(order) - 2 * _ENDS} more", *("…" for _ in summary.splits))
        for number in order[-_ENDS:]:
            table.add_row(*_class_row(summary, number))
    return table


def _class_row(summary: Summary, number: int) -> list[str]:
    return [escape(summary.class_names[number]), *(f"{counts[number]:,}" for counts in summary.splits.values())]


def duplicate_sentence(one: Duplicates) -> str:
    """What two splits share, or one repeats."""
    number = len(one.pairs)
    images = f"{number} {one.split} image{'s' if number > 1 else ''}"
    verb, kind = ("are", "copies of others") if number > 1 else ("is", "a copy of another")
    where = kind if one.split == one.other else f"among the {one.other} images too"
    classes = f", {one.contradicting} with another class" if one.contradicting else ""
    shown = first_few([f"{mine} = {other}" for mine, other in one.names or one.pairs], most=3)
    return f"{images} {verb} {where}{classes}: {shown}."


def record(summary: Summary, notes: Sequence[str], duplicates: Sequence[Duplicates] | None) -> dict[str, Any]:
    """The same as plain values; ``duplicates`` is ``None`` where nobody looked."""
    return {
        "class_names": summary.class_names,
        "class_counts": summary.class_counts,
        "imbalance_ratio": summary.imbalance_ratio,
        "group_thresholds": list(summary.group_thresholds),
        "groups": summary.groups(),
        "splits": {name: {"images": sum(each), "per_class": each} for name, each in summary.splits.items()},
        "remarks": list(notes),
        "duplicates": None if duplicates is None else [asdict(one) for one in duplicates],
    }
