"""Every ``results.json`` below folders, each run once."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lt_lightning.errors import UsageError
from lt_lightning.report.reading import UNFINISHED, as_pipeline, diverged_in, runs_in
from lt_lightning.report.runs import NO_DETAIL, Run
from lt_lightning.wording import first_few, one_line, some

_OTHER = {"test": "val", "val": "test"}

_IMAGES = {"test": "test", "val": "validation"}
"""Splits in words."""


@dataclass
class _File:
    """What one file says."""

    runs: list[Run] = field(default_factory=list)
    others: list[Run] = field(default_factory=list)
    """Of the other split, where there are none of the one that was asked for."""
    diverged: list[str] = field(default_factory=list)
    stages: set[Path] = field(default_factory=set)
    """Where those of a pipeline's stages really are."""
    unfinished: str = ""
    """Folder of a pipeline that has not finished."""
    damage: str = ""
    """Why the file is left out."""


def collect(
    folders: Sequence[Path], split: str = "test", either: bool = False, detail: bool = True
) -> tuple[list[Run], list[str]]:
    """Read every ``results.json`` below folders.

    A pipeline's stages are taken from its own file, and before it has finished those that have. Of runs that repeat
    each other, configuration and seed, the last is taken.

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
    found, notes = _files(folders)
    files: dict[Path, _File] = {}
    stages: set[Path] = set()
    for place, path in found:
        if place not in stages:
            files[place] = _read(place, path, split, detail)
            stages |= files[place].stages
    # A stage behind a link may lie less deep than its pipeline, and so come before it.
    told = [file for place, file in files.items() if place not in stages]
    notes += [file.damage for file in told if file.damage]
    other = _OTHER[split]
    whole = [file for file in told if not file.damage and not file.unfinished]
    without, elsewhere = sum(not file.runs for file in whole), sum(bool(file.others) for file in whole)
    diverged = [name for file in told for name in file.diverged]
    gathered = [run for file in told for run in (*file.runs, *(file.others if either else ()))]
    if unfinished := [file.unfinished for file in told if file.unfinished]:
        notes.append(
            f"{len(unfinished)} pipelines have not finished, of which the finished stages count: "
            f"{first_few(unfinished, most=3)}; `lt-lightning pipeline --resume` goes on with one that was interrupted."
        )
    if not gathered:
        reasons = [*notes, _nothing_of(split, without, elsewhere)] if without else notes
        raise UsageError(f"`folders` {' '.join(map(str, folders))} hold nothing to report: {' '.join(reasons)}")
    if diverged:
        shown = first_few(diverged, most=3)
        notes.append(f"{len(diverged)} rows of runs have no figures, as training diverged: {shown}.")
    if without:
        but = ", but for curves" if either else ""
        notes.append(f"{without} runs without figures of the {split} images are left out{but}; try `--split {other}`.")
    gathered = _by_one_name(gathered)
    runs = _last_ones(gathered)
    if repeated := sum(not run.shared for run in gathered) - sum(not run.shared for run in runs):
        notes.append(f"{repeated} runs were done again with the same configuration and seed; the last one counts.")
    return runs, notes + _of_several_checkpoints(runs)


def _read(place: Path, path: Path, split: str, detail: bool) -> _File:
    """What a file says that is really at ``place`` and is called ``path`` here."""
    file = _File()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if path.name == UNFINISHED:
            record = as_pipeline(record, path)
            # Before anything else: whatever is wrong with a row, its stages are no runs of their own.
            file.unfinished, file.stages = str(path.parent), _stages_of(record, place)
        runs = list(runs_in(record, path, split))
        others = [] if runs else list(runs_in(record, path, _OTHER[split]))
        file.diverged = [f"{name} in {path}" for name in diverged_in(record)]
        file.stages = _stages_of(record, place)
    except (OSError, ValueError, RecursionError) as error:
        file.damage = f"{path} cannot be read ({one_line(error)}) and is left out."
    except (ArithmeticError, AttributeError, KeyError, TypeError):  # the first: a number too large
        file.damage = f"{path} is no results file of this package and is left out."
    else:
        file.runs, file.others = (
            found if detail else [replace(run, detail=NO_DETAIL) for run in found] for found in (runs, others)
        )
    return file


def _stages_of(record: Mapping[str, Any], place: Path) -> set[Path]:
    """Where the files of a pipeline's stages really are: a folder of theirs may be a link."""
    return {Path(os.path.realpath(place.parent / name / "results.json")) for name in record.get("stages", ())}


def _by_one_name(runs: Sequence[Run]) -> list[Run]:
    """The same runs, those on the same images with the name that the first gives its data.

    Jobs that copy the files of their images to local disks have them in folders of other names.
    """
    called: dict[str, str] = {}
    named = []
    for run in runs:
        data = called.setdefault(run.images, run.names.data) if run.images else run.names.data
        named.append(replace(run, names=run.names._replace(data=data)))
    return named


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
        if key not in found or _age(found[key]) <= _age(run):
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
    sources: dict[tuple[Any, ...], dict[str, str]] = {}
    for run in runs:
        if run.source:  # by its content: one file may have several names
            sources.setdefault((run.names, run.protocol), {}).setdefault(run.checkpoint, run.source)
    mixed = max(sources.values(), key=len, default={})
    if len(mixed) < 2:
        return []
    shown = first_few(sorted(mixed.values()), most=3)
    return [f"rows of compare are means over {len(mixed)} checkpoints ({shown}); give the runs of one to see it alone."]


def _files(folders: Sequence[Path]) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Where each file really is and what it is called here, and a sentence on folders that have none."""
    found: dict[Path, Path] = {}
    empty: list[str] = []
    closed: list[str] = []
    for folder in folders:
        if not folder.exists():
            raise UsageError(
                f"`folders` names {str(folder)!r}, which does not exist; give one or more run folders, such as `runs`."
            )
        paths = [folder] if folder.is_file() else list(_results_below(folder, closed))
        if not paths:
            empty.append(str(folder))
        found |= {path.resolve(): path for path in paths}
    shut = f"{len(closed)} folders cannot be read and are left out: {first_few(closed, most=3)}"
    if not found:
        but = f", as far as one can see: {shut}" if closed else ""
        raise UsageError(f"`folders` names {some(empty)}, below which there is no results.json{but}; give another.")
    notes = [f"{shut}."] if closed else []
    if empty:
        notes.append(f"{len(empty)} folders without results are left out: {first_few(empty, most=3)}.")
    # A pipeline's own file comes before those of its stages, which lie deeper.
    return sorted(found.items(), key=lambda item: (len(item[0].parts), item[0])), notes


def _results_below(folder: Path, closed: list[str]) -> Iterator[Path]:
    """The file of each run below a folder, also behind links; what several links lead to comes once.

    Args:
        folder: To look through.
        closed: Gets the folders that cannot be read, such as those of others in a group.
    """
    seen: set[str] = set()
    root = os.path.realpath(folder)
    for name, folders, files in os.walk(folder, onerror=lambda error: closed.append(error.filename), followlinks=True):
        place = os.path.realpath(name)
        above = place != root and Path(root).is_relative_to(place)  # there lie runs that nobody asked for
        if above or place in seen:  # as of a link to a folder above it
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        for file in ("results.json", UNFINISHED):  # both are there while a pipeline ends
            if file in files:
                yield Path(name, file)
                break


def _age(run: Run) -> tuple[str, float, int]:
    """Later for a later run: a copy has the time in its file still, and older files, which have none, their number."""
    number = run.path.parent.name.removeprefix("version_")
    return run.written, run.path.stat().st_mtime, int(number) if number.isdecimal() else -1
