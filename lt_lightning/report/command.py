"""``report``: the ``results.json`` of many runs in one table, mean and standard deviation over runs."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lt_lightning.drafts import check_new_file
from lt_lightning.interruption import interruptible
from lt_lightning.report.collecting import collect
from lt_lightning.report.files import FORMATS, write
from lt_lightning.report.overwriting import add_overwrite, what_remains, with_values
from lt_lightning.report.rendering import tables
from lt_lightning.report.rows import group
from lt_lightning.tables import show


def main(argv: Sequence[str]) -> None:
    """Collect, show, and write if asked to.

    Args:
        argv: ``report`` and its options, as on the command line.
    """
    parser = argparse.ArgumentParser(
        prog="lt-lightning report",
        description="Put many runs into one table: mean and standard deviation over runs.",
        allow_abbrev=False,
    )
    parser.add_argument("folders", nargs="+", type=Path, help="Folders of runs; all folders below them are searched.")
    parser.add_argument("--output", type=Path, help="File to write: .csv or .json (every figure), or .md (tables).")
    parser.add_argument(
        "--split", choices=("test", "val"), default="test", help="Images whose figures are shown; test by default."
    )
    add_overwrite(parser, "Whether the file of --output is replaced if it exists.")
    options = parser.parse_args(with_values(argv[1:]))
    written: list[Path] = []
    with interruptible(partial(what_remains, written)):
        _report(options, written)


def _report(options: argparse.Namespace, written: list[Path]) -> None:
    """Do what was asked for; the file is added to ``written`` when it is there."""
    overwrite = options.overwrite == "true"
    if options.output is not None:
        check_new_file(options.output, "--output", list(FORMATS), overwrite)
    runs, notes = collect(options.folders, options.split, detail=False)
    for note in notes:
        print(f"lt-lightning: note: {note}", file=sys.stderr)
    rows = group(runs)
    for table in tables(rows, options.split):
        show(table)
    if options.output is not None:
        write(options.output, rows, options.split, overwrite)
        written.append(options.output)
        print(f"written to {options.output}")
