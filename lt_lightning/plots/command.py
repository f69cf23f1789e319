"""``plot``: what runs have left, as figures in files."""

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lt_lightning.errors import UsageError
from lt_lightning.interruption import interruptible
from lt_lightning.plots.canvas import FORMATS, require_matplotlib, save
from lt_lightning.plots.drawing import KINDS, MOST_LINES, draw
from lt_lightning.report import Row, collect, group, labels, sections
from lt_lightning.report.overwriting import add_overwrite, what_remains, with_values
from lt_lightning.wording import did_you_mean, first_few

_KINDS = "tail (accuracy per class), groups, logits, reliability, curves (of training), grid (settings compare tried)"

_OF_TRAINING = "curves"
"""The kind that needs no figures of the split."""


def main(argv: Sequence[str]) -> None:
    """Read results, draw them, and name the files.

    Args:
        argv: ``plot`` and its options, as on the command line.
    """
    parser = argparse.ArgumentParser(
        prog="lt-lightning plot", description="Draw the results of runs into files.", allow_abbrev=False
    )
    parser.add_argument("folders", nargs="+", type=Path, help="Folders of runs; all folders below them are searched.")
    parser.add_argument("--output", type=Path, default=Path("plots"), help="Folder to write to; plots by default.")
    parser.add_argument(
        "--kinds",
        default=",".join(KINDS),
        help=f"Some of {_KINDS}, separated by commas; all by default.",
    )
    parser.add_argument(
        "--methods", help="Rows to draw, by name, separated by commas and in this order; all of them by default."
    )
    parser.add_argument(
        "--split", choices=("test", "val"), default="test", help="Images whose figures are drawn; test by default."
    )
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help=f"Of the files; {FORMATS[0]} by default.")
    add_overwrite(parser, "Whether files that exist are replaced.")
    options = parser.parse_args(with_values(argv[1:]))
    written: list[Path] = []
    with interruptible(partial(what_remains, written)):
        _draw(options, written)


def _draw(options: argparse.Namespace, written: list[Path]) -> None:
    """Draw what was asked for; each file is added to ``written`` when it is there."""
    overwrite = options.overwrite == "true"
    kinds = _named(options.kinds, list(KINDS), "--kinds", "no kind")
    require_matplotlib()
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it warns of fonts at every word drawn
    runs, notes = collect(options.folders, options.split, either=_OF_TRAINING in kinds)
    rows = group(runs)
    most = MOST_LINES
    if options.methods is not None:
        rows = _chosen(rows, options.methods)
        most = len(rows)
    for note in notes:
        print(f"lt-lightning: note: {note}", file=sys.stderr)
    of_images = [kind for kind in kinds if kind != _OF_TRAINING]
    of_training = [kind for kind in kinds if kind == _OF_TRAINING]
    drawn = [
        *draw(_of_split(rows, options.split), of_images, options.split, most),
        *draw(rows, of_training, options.split, most),
    ]
    files = [(options.output / f"{name}.{options.format}", figure, left_out) for name, figure, left_out in drawn]
    if not files:
        raise UsageError(f"`--kinds` {','.join(kinds)}: these runs have left nothing that such a figure would show.")
    taken = [str(path) for path, _, _ in files if path.exists()]
    if taken and not overwrite:
        raise UsageError(f"`--output` {', '.join(taken)} exists; give another folder, or `--overwrite true`.")
    for path, figure, left_out in files:
        save(figure, path, overwrite)
        written.append(path)
        more = f" (without {len(left_out)} rows, such as {left_out[0]}; `--methods` chooses)" if left_out else ""
        print(f"written to {path}{more}")


def _of_split(rows: Sequence[Row], split: str) -> list[Row]:
    """Rows without runs that have figures of the other split alone."""
    kept = [Row(row.names, row.protocol, [run for run in row.runs if run.split == split]) for row in rows]
    return [row for row in kept if row.runs]


def _named(text: str, known: Sequence[str], option: str, what: str) -> list[str]:
    """The names in a text with commas; ``what`` says that there is none of a name: ``no row``."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise UsageError(f"`{option}` {text!r} must name some of {first_few(known, most=10)}, separated by commas.")
    for name in found:
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {first_few(known, most=10)}."
            raise UsageError(f"`{option}`: {what} is called {name!r}; {hint}")
    return found


def _chosen(rows: Sequence[Row], methods: str) -> list[Row]:
    """The rows of a method that is named, or of a label as a figure or a table shows it, in the order of the names."""
    called: dict[str, list[Row]] = {}
    for members in (*sections(rows).values(), rows):
        for label, row in zip(labels(members), members, strict=True):
            for name in dict.fromkeys((label, row.names.method)):
                called.setdefault(name, []).append(row)
    found: list[Row] = []
    for name in _named(methods, list(called), "--methods", "no row"):
        found += [row for row in rows if row not in found and row in called[name]]
    return found
