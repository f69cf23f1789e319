"""The table of a comparison."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import mean, stdev
from typing import Any

from rich.markup import escape
from rich.table import Table

from lt_lightning.comparing.methods import ORACLE
from lt_lightning.comparing.outcome import NO_GAIN, Comparison, Row
from lt_lightning.comparing.record import group_sizes, protocol
from lt_lightning.tables import percent

EDGE = {None: "", "largest": " ↑", "smallest": " ↓"}
"""What stands behind a chosen number, by whether it ends those that were tried."""

# Two lines a row keep a table on a screen: what is in the second line of a head is in that of a row.
_Columns = dict[str, Callable[[Row], str]]
"""Cells by the head of their column."""


def leaderboard(found: Comparison) -> Table:
    """Rows of a comparison, stage 1 first, then by their accuracy on test images.

    Args:
        found: What :func:`compare` returned.
    """
    table = _table(found, _accuracies(found) | _beside(found))
    table.title, table.caption = _title(found), _caption(found)
    return table


def leaderboards(found: Comparison, fits: Callable[[Table], bool]) -> list[Table]:
    """The leaderboard, or, where it does not fit, one of accuracies and one of the rest, 80 characters wide.

    Args:
        found: What :func:`compare` returned.
        fits: Whether a table can be shown as it is.
    """
    whole = leaderboard(found)
    if fits(whole):
        return [whole]
    accuracies, rest = _table(found, _accuracies(found, "\n")), _table(found, _beside(found))
    accuracies.title, rest.caption = _title(found), _caption(found)
    return [accuracies, rest]


def _table(found: Comparison, columns: _Columns) -> Table:
    table = Table(title_justify="left", caption_justify="left")
    # Settings take what room is left, in their place names; a figure that is cut says nothing.
    table.add_column("", overflow="fold", no_wrap=describe_point in columns.values())
    for head, cell in columns.items():
        words = cell is describe_point
        table.add_column(head, justify="left" if words else "right", no_wrap=not words)
    for row in ordered(found.rows):
        name = f"{row.name} ★" if row is found.winner else row.name
        table.add_row(escape(name), *(escape(cell(row)) for cell in columns.values()))
    return table


def _accuracies(found: Comparison, between: str = " ") -> _Columns:
    """Accuracy by group, and what it gains over stage 1; ``between`` stands before a standard deviation."""
    sizes, (low, high) = group_sizes(found), found.data.group_thresholds
    heads = {
        "all": f"all\n{sum(sizes.values())}",
        "many": f"many >{high}\n{sizes['many']}",
        "medium": f"medium\n{sizes['medium']}",
        "few": f"few <{low}\n{sizes['few']}",
    }
    columns: _Columns = {head: partial(_spread, name=name, between=between) for name, head in heads.items()}
    return columns | {"vs stage 1\n[95 %]": lambda row: _gain(row.to_stage1)}


def _beside(found: Comparison) -> _Columns:
    """What else there is to say of a row."""
    columns: _Columns = {}
    if found.winner is not None:
        columns["vs winner\n(p)"] = lambda row: _versus(row.to_winner)
    columns["ECE /\nscaled"] = _calibration
    if not found.selection.on_test:
        columns["val"] = _validated
    columns["seconds"] = lambda row: f"{row.seconds:.1f}" if row.seconds else "–"
    columns["chosen" if found.selection.allowed else "settings"] = describe_point
    return columns


def _title(found: Comparison) -> str:
    seeds = len(found.options.seeds)
    if found.selection.on_test:
        chosen = f"best epoch and best of {seeds} seeds, both" if seeds > 1 else "best epoch of one seed,"
        return (
            f"test accuracy in % as papers report it: {chosen} chosen on the test images; not comparable with figures "
            f"of the default protocol"
        )
    return "test accuracy in %" + (f", mean ± standard deviation of {seeds} seeds" if seeds > 1 else "")


def ordered(rows: list[Row]) -> list[Row]:
    """Stage 1, then the others by their mean accuracy on test images, then what diverged."""
    return [rows[0], *sorted(rows[1:], key=lambda row: -mean(row.values("all")) if row.tests else 1.0)]


def describe_point(row: Row) -> str:
    """The settings of a row in a few words."""
    if row.point is None:
        return ""
    if not row.heads:
        return "diverged"
    edge = row.at_edge
    values = ", ".join(f"{key} {_short(value)}{EDGE[edge.get(key)]}" for key, value in row.point.values.items())
    if row.runs:
        return f"own settings; seed {row.heads[0].seed}, epoch {row.tests[0].figures['epoch']}"
    return values or ("own settings" if row.selection != "none" else "")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spread(row: Row, name: str, between: str) -> str:
    values = row.values(name)
    if not values:
        return "–"
    middle = percent(mean(values))
    return middle if len(values) < 2 or middle == "–" else f"{middle}{between}± {100 * stdev(values):.1f}"


def _calibration(row: Row) -> str:
    errors = [test.figures["ece"] for test in row.tests]
    scaled = [test.figures["ece_scaled"] for test in row.tests if test.figures["ece_scaled"] is not None]
    return "\n".join(percent(mean(values)) if values else "–" for values in (errors, scaled))


def _validated(row: Row) -> str:
    return f"≈ {percent(row.score)}" if row.near_winner else percent(row.score)


def _gain(difference: dict[str, float] | None) -> str:
    if difference is None:
        return "–"
    low, high = (100 * difference[name] for name in ("low", "high"))
    return f"{100 * difference['mean']:+.1f}\n[{low:+.1f}, {high:+.1f}]"


def _versus(difference: dict[str, float] | None) -> str:
    return "–" if difference is None else f"{100 * difference['mean']:+.1f}\n{difference['p_value']:.2g}"


def _caption(found: Comparison) -> str:
    lines = ["accuracy is averaged over classes; under each group: how many of its classes are tested"]
    judged = sum(row.to_stage1 is not None for row in found.rows)
    if judged:
        which = "[95 %]" if found.winner is None else "[95 %], p"
        compared = "" if judged == 1 else f"; not corrected for {judged} comparisons"
        lines.append(f"{which}: bootstrap over the test images, networks fixed{compared}")
    lines += _choice(found)
    if any(row.at_edge for row in found.rows):
        lines.append("↑ ↓ the best value was the largest or smallest tried; widen it with `--grid`")
    if any(row.name == ORACLE for row in found.rows):
        lines.append("oracle: linear classifier trained on the balanced data, a reference and not a method")
    if not found.selection.on_test:
        lines.append("ECE: calibration error, before and after temperature scaling")
    how = protocol(found)
    if found.selection.on_test:
        averaging, chosen = how["test_time_averaging"], f"selection {how['selection']}, {how['aggregation']}"
        lines.append(f"on images, BatchNorm in training mode, test-time averaging {averaging}, {chosen}")
    else:
        views = f"{how['views']} view{'' if how['views'] == 1 else 's'}"
        lines.append(f"{views} per image, BatchNorm frozen, no test-time averaging, last epoch")
    return "\n".join(lines)


def _choice(found: Comparison) -> Iterator[str]:
    """How settings and winner were chosen, or why they were not."""
    if found.winner is not None:
        yield "★ winner, chosen on the validation images, as all settings were (column val: accuracy there)"
        if any(row.near_winner for row in found.rows):
            yield "≈ statistically tied with ★ on those images"
    elif found.selection.on_test:
        yield "intervals leave out that epochs and seeds were chosen on the same images"
    elif found.selection.allowed:
        val = ", which chose all settings (column val: accuracy there)" if found.why_no_winner == NO_GAIN else ""
        yield f"No winner: {found.why_no_winner}{val}"
    elif found.selection.has_images:
        yield (
            "No winner: no validation images are known to be unseen by stage 1, so every method ran once with its own "
            "settings; if yours are unseen, add `--unseen true`"
        )
    else:
        yield "No winner: there are no validation images, so every method ran once with its own settings"


def priors_table(priors: dict[str, dict[str, float]]) -> Table:
    """Accuracy of each row under other class frequencies at test time.

    Args:
        priors: By row, then by distribution; the same distributions in each row.
    """
    table = Table(title="accuracy in % where classes of the test images come as often as", title_justify="left")
    table.add_column("")
    for name in next(iter(priors.values()), {}):
        table.add_column(name.replace("-", "\n"), justify="right", no_wrap=True)
    for label, values in priors.items():
        table.add_row(escape(label), *(percent(value) for value in values.values()))
    return table
