"""``docs/results.md`` from the records: the papers' values beside ours."""

from pathlib import Path

from reproducing.every import FIGURES, LEFT_OUT, NAMES, TABLES
from reproducing.figure_section import render_figure
from reproducing.lort import LORT1, LORT2, OF_TABLE1, OF_TABLE2, STAGE1
from reproducing.records import Record, compared, notes, read, trained_on_features
from reproducing.simulation_section import render_simulation
from reproducing.table_section import render_table
from reproducing.tables import Table

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
            part = render_figure(FIGURES[name], read(results, name), sentences.get(name, {}).get("grid", ""))
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
