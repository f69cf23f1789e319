"""A table's section of the page: a part for each column, a row for each of the paper's."""

import math
from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from reproducing.records import Record
from reproducing.summary import summary
from reproducing.tables import Column, Table
from reproducing.wording import by_protocol, hardware_and_time, table_lines


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
            block, missing = _block(table, column, there, sentences)
            lines += block
            unexplained += missing
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
    table: Table, column: Column, records: Sequence[Record], sentences: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """A column's lines, and its cells without a sentence."""
    groups = by_protocol(records)
    values = _printed(table, column)
    lines = [f"### {column.title}", ""]
    letters = dict(zip(groups, ascii_lowercase, strict=False))
    heads = ["", f"paper: {_names(values)}", *(f"ours, {letters[label]}" for label in groups)]
    lines += table_lines(heads, _rows(table, column, values, groups))
    outside = {f"{row} | {column.name}": (row, says) for row, says in _outside(table, column, groups).items()}
    for cell, (row, says) in outside.items():
        lines.append(f"- {row}: {says}. {sentences.get(cell) or 'Not explained yet.'}")
    lines += [""] * bool(outside)
    lines += [f"- {letters[label]}: {label}. {hardware_and_time(found)}." for label, found in groups.items()]
    return [*lines, ""], [cell for cell in outside if cell not in sentences]


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


def _names(values: Sequence[str]) -> str:
    return " / ".join("all" if name == "micro" else name for name in values)


def _paper(table: Table, column: Column, row: str, value: str) -> str:
    there = table.published().get(row, {})
    if column.figures[value] not in there:
        return ""
    spread = there.get(column.spread) if value == column.main else None
    return f"{there[column.figures[value]]:.2f}" + ("" if spread is None else f" ± {spread:.2f}")


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
    heads = [f"{column.title}: {_names(values[column.name])}" for column in columns]
    body = []
    for row in table.published():
        cells = [[_paper(table, column, row, value) for value in values[column.name]] for column in columns]
        if any(any(cell) for cell in cells):
            body.append([row, *(" / ".join(cell) if all(cell) else next(filter(None, cell), "") for cell in cells)])
    return [*lines, *table_lines(["the paper", *heads], body)]
