"""The papers' tables with this package: one command a table, stopped and resumed at will.

    python benchmarks/reproduce.py --table lort1 --root data --seeds 3 --budget 60
    python benchmarks/reproduce.py --table lort1 --root data --checkpoint model.pth --backbone ResNet32
    python benchmarks/reproduce.py --table lgl3 --root data --columns mnist
    python benchmarks/reproduce.py --render

What has been finished is skipped; a training that was stopped, by ``--budget`` or otherwise, goes on from its last
epoch. Each finished run is added to ``benchmarks/results/reproduce_<table>.json``; ``docs/results.md`` is written from
those files.

Stage 1 and tables of one stage go through ``fit``, with figures of the last epoch. Stage 2 has four protocols, which
never share a column: ``features`` trains with each method's own settings on features of several views, batch
normalisation in evaluation mode; ``validation`` also chooses settings on unseen images; ``images`` is ``fit`` with
batch normalisation in training mode; ``paper`` takes the best epoch of the best seed on the test images, averaged with
their mirror images.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from reproducing.every import FIGURES, NAMES, SIMULATION, TABLES
from reproducing.outcome import Outcome
from reproducing.page import write_page
from reproducing.records import RESULTS
from reproducing.running_figures import run_figure
from reproducing.running_tables import run_table
from reproducing.settings import Settings
from reproducing.training import Budget

from lt_lightning.errors import UsageError

HERE = Path(__file__).resolve().parent


def build_parser() -> argparse.ArgumentParser:
    """The parser of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=NAMES)
    parser.add_argument("--rows", default="", help="separated by semicolons, as the csv file has them; default: all")
    parser.add_argument("--columns", default="", help="data sets of the table, separated by semicolons; default: all")
    parser.add_argument("--seeds", type=int, default=1, help="of the last stage")
    parser.add_argument("--stage1_seeds", type=int, help="of stage 1, where a stage 2 follows; default: as --seeds")
    parser.add_argument("--protocol", choices=("features", "validation", "images", "paper"), default="features")
    parser.add_argument("--views", default="published", help="of features: a number, all, or one for each epoch")
    parser.add_argument("--precision", default="", help="such as bf16-mixed, instead of the presets'")
    parser.add_argument("--accelerator", default="", help="cpu or gpu; default: what there is")
    parser.add_argument("--compile", default="", help="such as reduce-overhead, which is fastest on a GPU")
    parser.add_argument("--budget", type=float, help="minutes after which nothing more is begun")
    parser.add_argument("--root", default="data", help="data folder, itself or with a folder for each set")
    parser.add_argument("--checkpoint", type=Path, help="a stage 1 from elsewhere: no reproduction of the paper")
    parser.add_argument("--backbone", default="", help="that it fits: a class name, or YAML")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"), help="folder of checkpoints and features")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of records")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "results.md")
    parser.add_argument("--render", action="store_true", help="write the page and run nothing")
    parser.add_argument("--list", action="store_true", help="show the table's rows and columns and run nothing")
    return parser


def settings_of(arguments: argparse.Namespace) -> Settings:
    """What the cells are run with.

    Raises:
        UsageError: If numbers are too small, or a checkpoint comes without its backbone.
    """
    stage1_seeds = arguments.seeds if arguments.stage1_seeds is None else arguments.stage1_seeds
    if min(arguments.seeds, stage1_seeds) < 1:
        raise UsageError(f"`seeds` must be at least 1, but got {arguments.seeds} and, of stage 1, {stage1_seeds}.")
    if (arguments.checkpoint is None) != (not arguments.backbone):
        raise UsageError("`checkpoint` and `backbone` go together: a file, and the network that it fits.")
    backbone: Any = yaml.safe_load(arguments.backbone) if arguments.backbone else None
    return Settings(
        root=arguments.root,
        seeds=arguments.seeds,
        stage1_seeds=stage1_seeds,
        protocol=arguments.protocol,
        views=arguments.views,
        precision=arguments.precision,
        accelerator=arguments.accelerator,
        compile=arguments.compile,
        checkpoint=arguments.checkpoint,
        backbone=backbone,
        runs=arguments.runs,
        results=arguments.results,
        budget=Budget(arguments.budget),
    )


def simulate(arguments: argparse.Namespace) -> Outcome:
    """LGL-INR's Table 1 by its own script."""
    output = arguments.results / "lgl_inr_table1.json"
    if output.is_file():
        return Outcome(there=1)
    subprocess.run([sys.executable, str(HERE / "lgl_inr_table1.py"), "--output", str(output)], check=True)
    return Outcome(finished=1)


def run(arguments: argparse.Namespace) -> Outcome:
    """Run what was asked for."""
    if arguments.table == SIMULATION:
        return simulate(arguments)
    if arguments.table in FIGURES:
        return run_figure(FIGURES[arguments.table], settings_of(arguments))
    table = TABLES[arguments.table]
    return run_table(table, table.chosen(arguments.rows, arguments.columns), settings_of(arguments))


def main(argv: list[str] | None = None) -> int:
    """Run a table, or nothing, and write the page.

    Returns:
        0 if everything asked for is there; 3 if the budget has left something; 4 if only what could not be run is not.
    """
    arguments = build_parser().parse_args(argv)
    if arguments.list and arguments.table in TABLES:
        table = TABLES[arguments.table]
        print("rows: " + "; ".join(dict.fromkeys(cell.row for cell in table.cells)))
        print("columns: " + "; ".join(column.name for column in table.columns))
        return 0
    if arguments.table is None and not arguments.render:
        print("error: `table` is not given; give one, or `--render`.", file=sys.stderr)
        return 2
    outcome = Outcome()
    try:
        if not arguments.render:
            outcome = run(arguments)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        unexplained = write_page(arguments.page, arguments.results)
    print(f"{outcome.finished} new, {outcome.there} there before; {arguments.page}")
    for left in outcome.unfinished:
        print(f"left for the next call: {left}")
    for cell in unexplained:
        print(f"outside the paper's spread, without a sentence in notes.json: {cell}")
    return 3 if outcome.unfinished else 4 if outcome.impossible else 0


if __name__ == "__main__":
    sys.exit(main())
