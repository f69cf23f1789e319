"""Rows as tables to look at: one for each data set and protocol."""

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from lt_lightning.report.options import in_a_name
from lt_lightning.report.rows import Row, differing_options, sections
from lt_lightning.report.runs import Protocol
from lt_lightning.tables import percent

_WORDS = {
    ("selection", "val"): "settings or epoch chosen on validation images",
    ("selection", "unselected"): "each method's own settings",
    ("selection", "best_on_test"): "epoch and seed chosen on test images",
    ("selection", "none"): "nothing chosen",
    ("views", "images"): "trained on images",
    ("bn_mode", "eval"): "BatchNorm in evaluation mode",
    ("bn_mode", "train"): "BatchNorm in training mode",
    ("test_time_averaging", "none"): "no test-time averaging",
    ("test_time_averaging", "flip"): "averaged with mirror images",
    ("aggregation", "mean over seeds of the last epoch, each the mean over classes"): "last epoch, averaged over seeds",
}
"""Values of a protocol as a reader would say them."""

_SHOWN = ("all", "many", "medium", "few", "micro", "top5")


def tables(rows: Sequence[Row], split: str) -> Iterator[Table]:
    """For the terminal: one table for each data set and protocol."""
    for (_, protocol), members in sections(rows).items():
        table = Table(
            title=escape(f"{split}, {_of(members)}\n{in_words(protocol)}"),
            title_justify="left",
            caption=_figures(members),
        )
        table.add_column("", overflow="fold")
        columns = _columns(members)
        for name in (*columns, "runs"):
            table.add_column(name, justify="right")
        for label, row in zip(labels(members), members, strict=True):
            table.add_row(escape(label), *(_cell(row, name) for name in columns), runs_of(row))
        yield table


def to_markdown(rows: Sequence[Row], split: str) -> str:
    """One table for each data set and protocol, under a line that names both."""
    parts = []
    for (_, protocol), members in sections(rows).items():
        columns = _columns(members)
        lines = [
            f"**{split}, {_of(members)}**: {_figures(members)}; {in_words(protocol)}.",
            "",
            f"| | {' | '.join(columns)} | runs |",
            f"|---|{'---|' * len(columns)}---|",
        ]
        for label, row in zip(labels(members), members, strict=True):
            cells = " | ".join(_cell(row, name) for name in columns)
            lines.append(f"| {label.replace('|', '¦')} | {cells} | {runs_of(row)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def labels(rows: Sequence[Row]) -> list[str]:
    """Method of each row, its preset where there are several, and what tells apart those that are still of one name.

    That is the options in which they differ or, where these are none or too many, the settings' hash.
    """
    names = [row.names for row in rows]
    several = len({name.preset for name in names}) > 1
    plain = [f"{name.preset}: {name.method}" if several else name.method for name in names]
    hashed = [f"{label} [{name.settings}]" for label, name in zip(plain, names, strict=True)]
    told = []
    for label, by_hash, options in zip(plain, hashed, differing_options(rows), strict=True):
        words = in_a_name(options)
        by_options = by_hash if words is None else f"{label} with {words}"
        told.append(label if plain.count(label) == 1 else by_options)
    return [label if told.count(label) == 1 else by_hash for label, by_hash in zip(told, hashed, strict=True)]


def runs_of(row: Row) -> str:
    """How many runs, such as ``5``, or ``3 × 5`` for five from each of three checkpoints."""
    each = [len(runs) for runs in row.by_checkpoint]
    if len(each) == 1:
        return str(each[0])
    return f"{len(each)} × {each[0] if len(set(each)) == 1 else f'{min(each)} to {max(each)}'}"


def _figures(rows: Sequence[Row]) -> str:
    """What the numbers of a table are."""
    found = "accuracy in %, mean ± standard deviation over runs"
    if any(len(row.by_checkpoint) > 1 for row in rows):
        found += ", or, for n × m runs, m from each of n checkpoints, over the means of the n"
    return found


def _of(rows: Sequence[Row]) -> str:
    """The data, and the preset if all rows are of one."""
    presets = {row.names.preset for row in rows}
    return rows[0].names.data + (f", {presets.pop()}" if len(presets) == 1 else "")


def _columns(rows: Sequence[Row]) -> list[str]:
    return [metric for metric in _SHOWN if any(row.mean(metric) is not None for row in rows)]


def _cell(row: Row, metric: str) -> str:
    deviation = row.deviation(metric)
    return percent(row.mean(metric)) + ("" if deviation is None else f" ± {percent(deviation)}")


def in_words(protocol: Protocol) -> str:
    """A protocol on one line."""
    return "; ".join(_said(name, value) for name, value in protocol._asdict().items())


def _said(name: str, value: str) -> str:
    """A value in words; one that has none, as another version's may, behind its name."""
    if name == "views" and value.isdigit():
        return f"{value} view{'' if value == '1' else 's'} per image"
    return _WORDS.get((name, value), value if name == "aggregation" else f"{name.replace('_', ' ')} {value}")
