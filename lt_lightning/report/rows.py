"""Runs that differ in their seed alone make a row; rows whose figures compare make a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from lt_lightning.report.options import differing
from lt_lightning.report.runs import Names, Protocol, Run
from lt_lightning.same_run import short_hash


@dataclass
class Row:
    """Runs that differ in their seed alone."""

    names: Names
    protocol: Protocol
    runs: list[Run] = field(default_factory=list)

    @property
    def seeds(self) -> list[Any]:
        """Of the runs, each once; numbers first."""
        found = {run.seed for run in self.runs}
        return sorted(found, key=lambda seed: (0, seed, "") if isinstance(seed, int) else (1, 0, str(seed)))

    @property
    def options(self) -> Mapping[str, str]:
        """What its runs have in common, by name; none of rows of ``compare``."""
        return self.runs[0].options

    @property
    def by_checkpoint(self) -> list[list[Run]]:
        """The runs that retrained each network; a single list where all retrained one, or none."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.checkpoint, []).append(run)
        return list(found.values())

    def mean(self, metric: str) -> float | None:
        """Over checkpoints, of each the mean over its runs; ``None`` unless all runs have it."""
        values = self._values(metric)
        return mean(values) if values else None

    def deviation(self, metric: str) -> float | None:
        """Sample standard deviation; ``None`` for a single run, or unless all of them have it.

        Over checkpoints where runs started from several, else over the runs.
        """
        values = self._values(metric)
        return stdev(values) if len(values) > 1 else None

    def _values(self, metric: str) -> list[float]:
        if any(metric not in run.figures for run in self.runs):
            return []
        # Seeds of stage 2 on one network are no networks: counted as such they would make the spread too small.
        members = self.by_checkpoint if len(self.by_checkpoint) > 1 else [[run] for run in self.runs]
        return [mean(run.figures[metric] for run in runs) for runs in members]


def group(runs: Sequence[Run]) -> list[Row]:
    """Put runs together that differ in their seed alone: same data, preset, method, settings and protocol."""
    rows: dict[tuple[Names, Protocol], Row] = {}
    for run in runs:
        rows.setdefault((run.names, run.protocol), Row(run.names, run.protocol)).runs.append(run)
    told_apart = (part for row in rows.values() for part in _told_apart(row))
    return sorted(told_apart, key=lambda row: (row.names.data, row.protocol))


def _told_apart(row: Row) -> list[Row]:
    """A row, or several where one seed of a network comes twice: then something differs that no configuration says.

    That may be the weights, where a checkpoint does not tell how it was trained or was saved before training ended, or
    the images.
    """
    seeded = {(run.split, run.checkpoint, run.seed, run.evaluated) for run in row.runs if type(run.seed) is int}
    if len({which[:3] for which in seeded}) == len(seeded):
        return [row]
    parts: dict[str, list[Run]] = {}
    for run in row.runs:
        parts.setdefault(run.evaluated, []).append(run)
    return [
        Row(row.names._replace(settings=short_hash([row.names.settings, evaluated])), row.protocol, runs)
        for evaluated, runs in parts.items()
    ]


def differing_options(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Of each row the options in which it differs from others of its name and protocol."""
    alike: dict[tuple[str, str, str, Protocol], list[int]] = {}
    for place, row in enumerate(rows):
        if row.options:
            data, preset, method, _ = row.names
            alike.setdefault((data, preset, method, row.protocol), []).append(place)
    found: list[dict[str, str]] = [{} for _ in rows]
    for places in alike.values():
        for place, options in zip(places, differing([rows[place].options for place in places]), strict=True):
            found[place] = options
    return found


def sections(rows: Sequence[Row]) -> dict[tuple[str, Protocol], list[Row]]:
    """Rows whose figures compare: of the same data, by the same protocol."""
    found: dict[tuple[str, Protocol], list[Row]] = {}
    for row in rows:
        found.setdefault((row.names.data, row.protocol), []).append(row)
    # What a comparison starts from has nothing to select: it heads the tables of what was selected.
    for place in [(data, how) for data, how in found if how.selection == "none"]:
        others = [other for other in found if other != place and _but_for_selection(other) == _but_for_selection(place)]
        starts = [row for row in found[place] if row.names.preset == "compare"]
        if others and len(starts) == len(found[place]):
            del found[place]
            for other in others:
                found[other] = [*starts, *found[other]]
    return found


def _but_for_selection(place: tuple[str, Protocol]) -> tuple[str, Protocol]:
    data, protocol = place
    return data, protocol._replace(selection="")
