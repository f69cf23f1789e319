"""``docs/results.md`` from the records: the papers' values beside ours."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from string import ascii_lowercase
from typing import Any

from reproducing.every import FIGURES, LEFT_OUT, NAMES, SIMULATION, TABLES
from reproducing.lort import LORT1, LORT2, OF_TABLE1, OF_TABLE2, STAGE1
from reproducing.records import Record, compared, notes, read, trained_on_features
from reproducing.tables import Column, Figure, Table, published

HEAD = """\
# The papers' tables beside ours

Written by `python benchmarks/reproduce.py --render` from the files in [benchmarks/results](../benchmarks/results).
Paper values are in [benchmarks/paper_tables](../benchmarks/paper_tables); [presets.md](presets.md) says which preset is
which row. `python benchmarks/reproduce.py --table lort1 --root data` runs a table, or goes on with it.

Test accuracies in %. Ours are means over runs, with their standard deviation where there are several:

- 38.50 ± 0.20 (3): three seeds;
- 38.50 ± 0.30 between, ± 0.10 within (3 × 3): three stages 1 with three seeds of stage 2 each: the standard deviation
  of the three means, and that of seeds on one stage 1, pooled.

Several groups stand as all / many / medium / few; a deviation is that of the first. An empty cell has not been run.
Figures of different protocols never share a column and do not compare; "best on test" means that epoch and seed were
chosen on the test images, as papers do. Where a paper prints a spread, ours is outside it if it differs by more than
two standard deviations, the paper's and ours added in quadrature; where it prints none, two standard errors of its
figure on that many test images stand in for it. "Another stage 1" is no reproduction of the paper's figure: the same
method on features that are not the paper's.
"""

_SELECTIONS = {
    "last epoch": "last epoch",
    "val": "settings chosen on validation images",
    "best_on_test": "best on test, as the papers do",
}


def write_page(page: Path, results: Path) -> list[str]:
    """Write the page.

    Args:
        page: The file.
        results: Folder of records.

    Returns:
        Cells outside a paper's spread that have no sentence.
    """
    text, unexplained = render(results)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return unexplained


def render(results: Path) -> tuple[str, list[str]]:
    """The page, and the cells outside a paper's spread that no sentence explains."""
    sentences = notes(results)
    parts, unexplained = [HEAD], []
    for name in NAMES:
        if name in TABLES:
            part, missing = render_table(TABLES[name], records_of(TABLES[name], results), sentences.get(name, {}))
            unexplained += [f"{name}: {cell}" for cell in missing]
        elif name in FIGURES:
            part = render_figure(FIGURES[name], read(results, name))
        else:
            part = render_simulation(results)
        parts.append(part)
    for name, why in LEFT_OUT.items():
        parts.append(f"## Not here: {name}\n\n{why[0].upper()}{why[1:]}.\n")
    return "\n".join(parts), unexplained


def records_of(table: Table, results: Path) -> list[Record]:
    """Runs of this script, and those of earlier ones that belong to the table."""
    found = read(results, table.name)
    for known, methods, row in ((LORT1, OF_TABLE1, STAGE1), (LORT2, OF_TABLE2, "")):
        if table.name == known.name:
            wanted = {name: method for name, method in methods.items() if _has(table, name, "cifar100_ir100")}
            found += compared(results, wanted, row, "cifar100_ir100")
            found += trained_on_features(results, wanted, row, "cifar100_ir100")
    return found


def _has(table: Table, row: str, column: str) -> bool:
    return any(cell.row == row and cell.column == column for cell in table.cells)


# -- a table -----------------------------------------------------------------------------------------------------------


def render_table(table: Table, records: Sequence[Record], sentences: Mapping[str, str]) -> tuple[str, list[str]]:
    """A section of the page.

    Args:
        table: The paper's.
        records: All that belong to it.
        sentences: On rows outside the spread, by ``"row | column"``.

    Returns:
        Markdown, and cells outside the paper's spread without a sentence.
    """
    lines = [f"## {table.title}", "", f"The paper: {table.aggregation}. {table.text}".rstrip(), ""]
    unexplained: list[str] = []
    empty = []
    for column in table.columns:
        there = [record for record in records if record["key"]["column"] == column.name]
        if there:
            lines += _block(table, column, there, sentences, unexplained)
        else:
            empty.append(column)
    if empty:
        lines += _not_run(table, empty)
    if table.left_out:
        lines += [
            "Not run: "
            + "; ".join(f"{name.replace(' | ', ' on ')} ({why})" for name, why in table.left_out.items())
            + ".",
            "",
        ]
    return "\n".join(lines), unexplained


def _block(
    table: Table, column: Column, records: Sequence[Record], sentences: Mapping[str, str], unexplained: list[str]
) -> list[str]:
    groups = _by_protocol(records)
    values = _printed(table, column)
    names = " / ".join("all" if name == "micro" else name for name in values)
    lines = [f"### {column.title}", ""]
    letters = dict(zip(groups, ascii_lowercase, strict=False))
    heads = ["", f"paper: {names}", *(f"ours, {letters[label]}" for label in groups)]
    lines += _table_lines(heads, _rows(table, column, values, groups))
    outside = _outside(table, column, groups)
    for row, says in outside.items():
        sentence = sentences.get(f"{row} | {column.name}")
        if sentence is None:
            unexplained.append(f"{row} | {column.name}")
        lines.append(f"- {row}: {says}. {sentence or 'Not explained yet.'}")
    lines += [""] * bool(outside)
    lines += [f"- {letters[label]}: {label}. {_hardware_and_time(found)}." for label, found in groups.items()]
    return [*lines, ""]


def _rows(table: Table, column: Column, values: list[str], groups: Mapping[str, list[Record]]) -> list[list[str]]:
    lines = []
    for row in table.rows:
        published_here = [_paper(table, column, row, value) for value in values]
        ours = [_ours([r for r in found if r["key"]["row"] == row], values, table) for found in groups.values()]
        if any(published_here) or any(ours):
            shown = " / ".join(published_here) if any(published_here) else ""
            lines.append([row, shown, *ours])
    return lines


def _printed(table: Table, column: Column) -> list[str]:
    """The accuracies that the paper prints in this column for any row."""
    rows = table.published().values()
    return [name for name, key in column.figures.items() if any(key in row for row in rows)]


def _paper(table: Table, column: Column, row: str, value: str) -> str:
    there = table.published().get(row, {})
    if column.figures[value] not in there:
        return ""
    spread = there.get(column.spread) if value == column.main else None
    return f"{there[column.figures[value]]:.2f}" + ("" if spread is None else f" ± {spread:.2f}")


def _by_protocol(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(protocol_label(record), []).append(record)
    return groups


def protocol_label(record: Record) -> str:
    """What two figures must have in common to stand in one column."""
    protocol, stage1 = record["protocol"], record["stage1"]
    words = [_SELECTIONS.get(protocol["selection"], protocol["selection"])]
    if protocol["test_time_averaging"] != "none":
        words.append(f"{protocol['test_time_averaging']}-averaged")
    if stage1 is not None:
        views = protocol["views"]
        words.append("on images" if views == "images" else f"features of {views} view{'s' if views != 1 else ''}")
        words.append(f"BatchNorm in {'training' if protocol['bn_mode'] == 'train' else 'evaluation'} mode")
        if stage1["another"]:
            words.append(f"another stage 1 ({stage1.get('backbone') or stage1['name']})")
    if not str(protocol.get("precision", "32")).startswith("32"):
        words.append(str(protocol["precision"]))
    return ", ".join(words)


# -- several runs ------------------------------------------------------------------------------------------------------


def summary(records: Sequence[Record], value: str) -> tuple[float, float | None, str] | None:
    """One figure of several runs.

    Args:
        records: Of one cell and protocol.
        value: Name of an accuracy.

    Returns:
        Mean in per cent; the standard deviation that a further run of both stages would have, in points, ``None`` for
        one run; and that in words. ``None`` without records.
    """
    whole = [record for record in records if len(record["seeds"]) > 1]
    if whole:  # a record that is a mean itself
        record = max(whole, key=lambda found: len(found["seeds"]))
        number = len(record["seeds"])
        deviation = record["standard_deviation"]
        figure = 100 * record["accuracy"][value]
        if deviation is None:
            return figure, None, f"({record.get('aggregation') or f'{number} seeds'})"
        return figure, 100 * deviation[value], f"± {100 * deviation[value]:.2f} ({number})"
    if not records:
        return None
    stages1: dict[Any, list[float]] = {}
    for record in records:
        seed = record["stage1"].get("seed") if record["stage1"] else None
        stages1.setdefault(seed, []).append(100 * record["accuracy"][value])
    figures = [figure for found in stages1.values() for figure in found]
    center = mean(mean(found) for found in stages1.values())
    if len(figures) == 1:
        return center, None, ""
    within = _pooled(list(stages1.values()))
    if len(stages1) == 1:
        return center, within, f"± {within:.2f} ({len(figures)})"
    between = stdev([mean(found) for found in stages1.values()])
    if within is None:
        return center, between, f"± {between:.2f} ({len(figures)})"
    sizes = sorted({len(found) for found in stages1.values()})
    each = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    words = f"± {between:.2f} between, ± {within:.2f} within ({len(stages1)} × {each})"
    return center, math.hypot(between, within), words


def _pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation within groups; ``None`` if no group has two."""
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    return math.sqrt(sum((figure - mean(group)) ** 2 for group in groups for figure in group) / freedom)


def _ours(records: Sequence[Record], values: Sequence[str], table: Table) -> str:
    found = [summary(records, value) for value in values]
    shown = [figure for figure in found if figure is not None]
    if not shown:
        return ""
    text = " / ".join(f"{figure:.2f}" for figure, _, _ in shown)
    if shown[0][2]:
        text += f" {shown[0][2]}"
    singles = [100 * record["accuracy"][values[0]] for record in records if len(record["seeds"]) == 1]
    if table.aggregation.startswith("best") and len(singles) > 1:
        text += f", best {max(singles):.2f}"
    return text


def _outside(table: Table, column: Column, groups: Mapping[str, list[Record]]) -> dict[str, str]:
    """Rows outside the paper's spread, and how far."""
    outside: dict[str, list[str]] = {}
    for row, there in table.published().items():
        if column.figures[column.main] not in there:
            continue
        theirs = there[column.figures[column.main]]
        spread = there.get(column.spread, math.sqrt(theirs * (100 - theirs) / column.test_images))
        for label, records in groups.items():
            mine = [r for r in records if r["key"]["row"] == row and not (r["stage1"] and r["stage1"]["another"])]
            found = summary(mine, column.main)
            if found is None:
                continue
            figure, deviation, _ = found
            if abs(figure - theirs) > 2 * math.hypot(spread, deviation or 0.0):
                where = "above" if figure > theirs else "below"
                says = f"{abs(figure - theirs):.2f} {where} the paper"
                outside.setdefault(row, []).append(f"{says} ({label})" if len(groups) > 1 else says)
    return {row: "; ".join(says) for row, says in outside.items()}


def _hardware_and_time(records: Sequence[Record]) -> str:
    hardware = list(dict.fromkeys(_machine(record["environment"]) for record in records))
    minutes = [record["seconds"] / 60 for record in records]
    total = f"{sum(minutes):.1f} minutes for {len(minutes)} run{'s' if len(minutes) > 1 else ''}"
    kind = "" if records[0]["stage1"] is None else ", stage 1 and features not counted"
    versions = ", ".join(dict.fromkeys(record["environment"]["lt_lightning"] for record in records))
    return f"{'; '.join(hardware)}; {total}{kind}; version {versions}"


def _machine(environment: Mapping[str, Any]) -> str:
    threads = environment["threads"]
    note = f" ({environment['note']})" if "note" in environment else ""
    return f"{environment['hardware']}, {threads} thread{'s' if threads != 1 else ''}{note}"


def _not_run(table: Table, columns: Sequence[Column]) -> list[str]:
    """The paper's values where there are none of ours."""
    whole = "Nothing has been run yet" if len(columns) == len(table.columns) else "Not run yet"
    lines = []
    wanting: dict[str, list[str]] = {}
    for column in columns:
        if column.needs:
            wanting.setdefault(column.needs, []).append(column.title)
    for needs, titles in wanting.items():
        lines.append(f"Not run for want of data: {', '.join(titles)} ({needs}).")
    rest = [column.title for column in columns if not column.needs]
    if rest:
        lines.append(f"{whole}: {', '.join(rest)}.")
    lines.append("")
    values = {column.name: _printed(table, column) for column in columns}
    heads = [f"{c.title}: {' / '.join('all' if v == 'micro' else v for v in values[c.name])}" for c in columns]
    body = []
    for row in table.published():
        cells = [[_paper(table, column, row, value) for value in values[column.name]] for column in columns]
        if any(any(cell) for cell in cells):
            body.append([row, *(" / ".join(cell) if all(cell) else next(filter(None, cell), "") for cell in cells)])
    return [*lines, *_table_lines(["the paper", *heads], body)]


def _table_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


# -- figures and the simulation ----------------------------------------------------------------------------------------


def render_figure(figure: Figure, records: Sequence[Record]) -> str:
    """A section of the page: validation accuracy of every point, mean over seeds and stages 1."""
    lines = [f"## {figure.title}", "", f"CIFAR100-LT, imbalance ratio 100. {figure.text}", ""]
    if not records:
        return "\n".join([*lines, "Nothing has been run yet.", ""])
    for label, found in _by_protocol(records).items():
        points: dict[tuple[float, ...], list[float]] = {}
        for record in found:
            for tried in record["points"]:
                place = tuple(float(tried["point"][key]) for key in figure.grid)
                points.setdefault(place, []).append(100 * tried["mean"])
        keys = list(figure.grid)
        body = [[*(f"{value:g}" for value in place), f"{mean(scores):.2f}"] for place, scores in points.items()]
        lines += [f"Validation accuracy; {label}:", "", *_table_lines([*keys, "all"], body)]
        tested = mean(100 * record["accuracy"]["all"] for record in found)
        chosen = "; ".join(dict.fromkeys(_point(record["chosen"]) for record in found))
        lines += [f"Chosen: {chosen}; on test images {tested:.2f}. {_hardware_and_time(found)}.", ""]
    return "\n".join(lines)


def _point(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


def render_simulation(results: Path) -> str:
    """LGL-INR's Table 1, a simulation that ``benchmarks/lgl_inr_table1.py`` runs."""
    lines = ["## LGL-INR, Table 1: (1 − p₀₀) / p₁₀ of a converged classifier, a simulation", ""]
    lines += ["λ₀ of two columns is misprinted: by eq. (10) they would give 100 and 50. What is meant is run here.", ""]
    file = results / "lgl_inr_table1.json"
    ours = json.loads(file.read_text()) if file.is_file() else None
    here = {} if ours is None else {(r["simulation"], r["lambda0_meant"]): r["here"] for r in ours["rows"]}
    body = []
    for name, row in published(SIMULATION, keys=3).items():
        simulation, printed, meant = name.split(", ")
        found = here.get((simulation, meant))
        shown = "" if found is None else f"{found['mean']:.2f} ± {found['std']:.2f}"
        paper = f"{row['simulated']:.2f} ± {row['std']:.2f}"
        body.append([simulation, printed, meant, f"{row['theory']:g}", paper, shown])
    lines += _table_lines(["", "λ₀ printed", "λ₀ meant", "eq. (10)", "paper", "ours"], body)
    if ours is not None:
        machine = _machine(ours["environment"])
        lines += [
            f"Ours: mean and standard deviation of {ours['runs']} runs; {machine}; {ours['seconds']:.0f} seconds.",
            "",
        ]
    return "\n".join(lines)
