"""Every ``results.json`` below folders, each run once."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lt_lightning.errors import UsageError
from lt_lightning.report.runs import NO_DETAIL, Run, diverged_in, runs_in
from lt_lightning.wording import first_few, one_line

_OTHER = {"test": "val", "val": "test"}

_IMAGES = {"test": "test", "val": "validation"}
"""Splits in words."""


def collect(
    folders: Sequence[Path], split: str = "test", either: bool = False, detail: bool = True
) -> tuple[list[Run], list[str]]:
    """Read every ``results.json`` below folders.

    A pipeline's stages are taken from its own file. Of runs that repeat each other, configuration and seed, the last
    is taken.

    Args:
        folders: Folders, or files by name.
        split: ``test`` or ``val``.
        either: Whether runs that have figures of the other split alone are taken as well, for their curves of training.
        detail: Whether runs keep what plots show: of 8142 classes 2 MB each.

    Returns:
        The runs, in the order of their paths, and sentences on what was left out.

    Raises:
        UsageError: If a folder does not exist, or nothing below them has figures of the split.
    """
    notes: list[str] = []
    gathered: list[Run] = []
    other = _OTHER[split]
    without, elsewhere = 0, 0
    diverged: list[str] = []
    pipelines: set[Path] = set()
    for place, path in _files(folders):
        if not pipelines.isdisjoint(place.parents):
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            runs = list(runs_in(record, path, split))
            others = [] if runs else list(runs_in(record, path, other))
            diverged += (f"{name} in {path}" for name in diverged_in(record))
        except (OSError, ValueError, RecursionError) as error:
            notes.append(f"{path} cannot be read ({one_line(error)}) and is left out.")
        except (ArithmeticError, AttributeError, KeyError, TypeError):  # the first: a number too large
            notes.append(f"{path} is no results file of this package and is left out.")
        else:
            if "stages" in record:
                pipelines.add(place.parent)
            without += not runs
            elsewhere += bool(others)
            taken = (*runs, *(others if either else ()))
            gathered += taken if detail else (replace(run, detail=NO_DETAIL) for run in taken)
    if not gathered:
        reasons = [*notes, _nothing_of(split, without, elsewhere)] if without else notes
        raise UsageError(f"`folders` {' '.join(map(str, folders))} hold nothing to report: {' '.join(reasons)}")
    if diverged:
        shown = first_few(diverged, most=3)
        notes.append(f"{len(diverged)} rows of runs have no figures, as training diverged: {shown}.")
    if without:
        but = ", but for curves" if either else ""
        notes.append(f"{without} runs without figures of the {split} images are left out{but}; try `--split {other}`.")
    runs = _last_ones(gathered)
    if repeated := sum(not run.shared for run in gathered) - sum(not run.shared for run in runs):
        notes.append(f"{repeated} runs were done again with the same configuration and seed; the last one counts.")
    return runs, notes + _of_several_checkpoints(runs)


def _last_ones(runs: Sequence[Run]) -> list[Run]:
    """Of runs that repeat one another the last.

    A training repeats another one also if it ended after another number of steps, and an evaluation its training.
    """

    def which(run: Run) -> tuple[Any, ...]:
        return run.names, run.protocol, run.split, run.identity

    trainings = {which(run): run.training for run in runs if run.training}
    found: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        key = (*which(run)[:3], trainings.get(which(run), run.identity))
        if key not in found or _age(found[key].path) <= _age(run.path):
            found[key] = run
    return list(found.values())


def _nothing_of(split: str, without: int, elsewhere: int) -> str:
    """Say where figures are, if there are any."""
    reason = f"none of {without} files below has figures of the {_IMAGES[split]} images"
    if not elsewhere:
        return f"{reason}."
    tested = ", or run `lt-lightning test` on their checkpoints" if split == "test" else ""
    other = _OTHER[split]
    return f"{reason}, but {elsewhere} of them of the {_IMAGES[other]} images; add `--split {other}`{tested}."


def _of_several_checkpoints(runs: Sequence[Run]) -> list[str]:
    """Say so where a mean is over several stage 1s: they may be seeds of one network, or networks that differ."""
    sources: dict[tuple[Any, ...], set[str]] = {}
    for run in runs:
        if run.source:
            sources.setdefault((run.names, run.protocol), set()).add(run.source)
    mixed = max(sources.values(), key=len, default=set())
    if len(mixed) < 2:
        return []
    shown = first_few(sorted(mixed), most=3)
    return [f"rows of compare are means over {len(mixed)} checkpoints ({shown}); give the runs of one to see it alone."]


def _files(folders: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Where each file really is, and what it is called here."""
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.exists():
            raise UsageError(
                f"`folders` names {str(folder)!r}, which does not exist; give one or more run folders, such as `runs`."
            )
        paths = [folder] if folder.is_file() else list(folder.rglob("results.json"))
        if not paths:
            raise UsageError(f"`folders` names {str(folder)!r}, below which there is no results.json; give another.")
        found |= {path.resolve(): path for path in paths}
    # A pipeline's own file comes before those of its stages, which lie deeper.
    return sorted(found.items(), key=lambda item: (len(item[0].parts), item[0]))


def _age(path: Path) -> float:
    return path.stat().st_mtime
