"""The table of a comparison."""

from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from lt_lightning.comparing.outcome import Comparison, Row
from lt_lightning.comparing.record import protocol
from lt_lightning.functional import GROUPS, group_of
from lt_lightning.tables import percent

_COLUMNS = ("all", *GROUPS)
_WIDE = 160
_EDGE = {None: "", "largest": " ↑", "smallest": " ↓"}


def leaderboard(found: Comparison) -> Table:
    """Rows of a comparison, stage 1 first, then by their accuracy on test images.

    Args:
        found: What :func:`compare` returned.
    """
    counts, thresholds = found.data.class_counts, found.data.group_thresholds
    low, high = thresholds
    sizes = dict(zip(GROUPS, group_of(counts, thresholds).sum(dim=1).tolist(), strict=True))
    seeds = len(found.options.seeds)
    if found.selection.on_test:
        chosen = f"best epoch and best of {seeds} seeds, both" if seeds > 1 else "best epoch of one seed,"
        title = (
            f"test accuracy in % as papers report it: {chosen} chosen on the test images; not comparable with figures "
            f"of the default protocol"
        )
    else:
        spread = f", mean ± standard deviation of {seeds} seeds" if seeds > 1 else ""
        title = f"test accuracy in %{spread}"
    table = Table(title=title, title_justify="left", caption=_caption(found), caption_justify="left")
    table.add_column("", no_wrap=True)
    # Two lines a row keep the table on a screen: what is in the second line of a head is in that of a row.
    heads = {
        "all": f"all\n{len(counts)}",
        "many": f">{high}\n{sizes['many']}",
        "medium": f"medium\n{sizes['medium']}",
        "few": f"<{low}\n{sizes['few']}",
    }
    for name in _COLUMNS:
        table.add_column(heads[name], justify="right", no_wrap=True)
    table.add_column("− stage 1\n[95 %]", justify="right", no_wrap=True)
    if found.winner is not None:
        table.add_column("− winner\np", justify="right", no_wrap=True)
    table.add_column("ECE\nscaled", justify="right", no_wrap=True)
    if not found.selection.on_test:
        table.add_column("val", justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("chosen" if found.selection.allowed else "settings")
    for row in ordered(found.rows):
        table.add_row(*_cells(row, found))
    return table


def ordered(rows: list[Row]) -> list[Row]:
    """Stage 1, then the others by their mean accuracy on test images, then what diverged."""
    return [rows[0], *sorted(rows[1:], key=lambda row: -mean(row.values("all")) if row.tests else 1.0)]


def _cells(row: Row, found: Comparison) -> list[str]:
    name = f"{row.name} ★" if row is found.winner else row.name
    cells = [name, *(_spread(row.values(column)) for column in _COLUMNS), _gain(row.to_stage1)]
    if found.winner is not None:
        cells.append(_versus(row.to_winner))
    scaled = [test.figures["ece_scaled"] for test in row.tests if test.figures["ece_scaled"] is not None]
    errors = [test.figures["ece"] for test in row.tests]
    cells.append(f"{percent(mean(errors)) if errors else '–'}\n{percent(mean(scaled)) if scaled else '–'}")
    if not found.selection.on_test:
        cells.append(percent(row.score))
    cells.append(f"{row.seconds:.1f}" if row.seconds else "–")
    cells.append(describe_point(row))
    return cells


def describe_point(row: Row) -> str:
    """The settings of a row in a few words."""
    if row.point is None:
        return ""
    if not row.heads:
        return "diverged"
    edge = row.at_edge
    values = ", ".join(f"{key} {_short(value)}{_EDGE[edge.get(key)]}" for key, value in row.point.values.items())
    if row.runs:
        return f"as published; seed {row.heads[0].seed}, epoch {row.tests[0].figures['epoch']}"
    return values or ("as published" if row.selection != "none" else "")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spread(values: list[float]) -> str:
    if not values:
        return "–"
    middle = percent(mean(values))
    return middle if len(values) < 2 or middle == "–" else f"{middle} ± {100 * stdev(values):.1f}"


def _gain(difference: dict[str, float] | None) -> str:
    if difference is None:
        return "–"
    low, high = (100 * difference[name] for name in ("low", "high"))
    return f"{100 * difference['mean']:+.1f}\n[{low:+.1f}, {high:+.1f}]"


def _versus(difference: dict[str, float] | None) -> str:
    return "–" if difference is None else f"{100 * difference['mean']:+.1f}\n{difference['p_value']:.2g}"


def _caption(found: Comparison) -> str:
    lines = ["a group's accuracy is the mean of its classes'; below the groups their number of classes"]
    if found.winner is not None:
        lines.append("★ best on the validation images, which chose all settings; val: its accuracy there")
        if any(row.at_edge for row in found.rows):
            lines.append("↑ ↓ the largest, the smallest that was tried: `--grid` can go further")
    elif found.selection.allowed:
        lines.append("every method diverged")
    elif found.selection.on_test:
        lines.append("intervals leave out that epochs and seeds were chosen on the same images")
    else:
        lines.append("unselected: published settings, for there are no validation images known to be unseen")
    how = protocol(found)
    if found.selection.on_test:
        averaging, chosen = how["test_time_averaging"], f"selection {how['selection']}, {how['aggregation']}"
        lines.append(
            f"views {how['views']}, batch normalisation {how['bn_mode']}, averaging at test time {averaging}, {chosen}"
        )
    else:
        lines.append(f"views {how['views']}, batch normalisation eval, no averaging at test time, last epoch")
    return "\n".join(lines)


def show(table: Table) -> None:
    """Print a table, as wide as it needs to be when the output is a file."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(table)


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
        table.add_row(label, *(percent(value) for value in values.values()))
    return table
