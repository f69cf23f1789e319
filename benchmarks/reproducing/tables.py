"""What a table of a paper is, cell by cell, in terms of presets."""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lt_lightning import presets
from lt_lightning.errors import UsageError

PAPERS = Path(__file__).resolve().parents[1] / "paper_tables"

Changes = Mapping[str, Any]
"""Settings laid over a preset, nested as in YAML."""


@dataclass(frozen=True)
class Training:
    """A preset with its settings for one cell.

    Attributes:
        preset: Name below ``configs/``.
        changes: What differs from it.
    """

    preset: str
    changes: Changes = field(default_factory=dict)

    def config(self, *more: Changes) -> dict[str, Any]:
        """The whole configuration, ``more`` laid over it."""
        config = presets.load(self.preset)
        for changes in (self.changes, *more):
            config = presets.merge(config, changes)
        return dict(config)

    def changed(self, *more: Changes) -> "Training":
        """The same with further changes."""
        changes = dict(self.changes)
        for further in more:
            changes = presets.merge(changes, further)
        return Training(self.preset, changes)

    @property
    def folder(self) -> str:
        """A name for its files: equal for equal trainings, whatever table they belong to."""
        name = presets.name_of(presets.resolve(self.preset))
        if not self.changes:
            return name
        text = json.dumps(self.changes, sort_keys=True)
        return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Column:
    """One data set of a table, and what is read off a run on it.

    Attributes:
        name: What ``--columns`` and records call it.
        title: What readers are told.
        figures: Column of the csv file by name of the accuracy, the main one first.
        spread: Column of the csv file with the main figure's standard deviation, if the paper prints one.
        needs: Data that this project has not had, in a few words; empty if it has.
        test_images: In the test set, all groups together.
    """

    name: str
    title: str
    figures: Mapping[str, str]
    spread: str = ""
    needs: str = ""
    test_images: int = 10_000

    @property
    def main(self) -> str:
        """The accuracy that is held against the paper's."""
        return next(iter(self.figures))


@dataclass(frozen=True)
class Cell:
    """A row on one data set: one run a seed, or one a pair of seeds.

    Attributes:
        row: As the csv file has it, several keys joined by a comma.
        column: Name of a :class:`Column`.
        stage1: What is trained from scratch.
        stage2: What is trained on its frozen backbone; ``None`` if stage 1 is all.
    """

    row: str
    column: str
    stage1: Training
    stage2: Training | None = None


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        name: What ``--table`` calls it, and its csv file.
        title: Paper, number, subject.
        aggregation: How the paper makes one figure of several runs.
        columns: Its data sets.
        cells: What can be run.
        keys: Columns of the csv file that name a row.
        left_out: Reasons by row, by column of the csv file, or by ``"row | column"``, where nothing is run.
        extra: Titles of rows that the paper's table has not, by name.
        text: What a reader has to know, in sentences.
    """

    name: str
    title: str
    aggregation: str
    columns: tuple[Column, ...]
    cells: tuple[Cell, ...]
    keys: int = 1
    left_out: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    text: str = ""

    def published(self) -> dict[str, dict[str, float]]:
        """The paper's values by row and csv column, in per cent; cells that it leaves empty are not there."""
        return published(self.name, self.keys)

    @property
    def rows(self) -> list[str]:
        """The csv file's rows, then those of ours."""
        return [*self.published(), *self.extra]

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def chosen(self, rows: str, columns: str) -> list[Cell]:
        """Cells of these rows and columns, each a list of names separated by semicolons; empty means all.

        Raises:
            UsageError: If a name is not known.
        """
        kept_rows = _known("rows", rows, list(dict.fromkeys(cell.row for cell in self.cells)))
        kept_columns = _known("columns", columns, [column.name for column in self.columns])
        return [cell for cell in self.cells if cell.row in kept_rows and cell.column in kept_columns]


@dataclass(frozen=True)
class Figure:
    """A figure of a paper that is one comparison over a grid.

    Attributes:
        name: What ``--table`` calls it.
        title: Paper, number, subject.
        stage1: What features come from.
        stage2: The method, with its data.
        grid: Values by key.
        text: What a reader has to know.
    """

    name: str
    title: str
    stage1: Training
    stage2: Training
    grid: Mapping[str, tuple[float, ...]]
    text: str = ""


def published(name: str, keys: int = 1) -> dict[str, dict[str, float]]:
    """A csv file of the papers' values, by row and column."""
    with (PAPERS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    head = lines[0][keys:]
    return {
        ", ".join(line[:keys]): {key: float(value) for key, value in zip(head, line[keys:], strict=True) if value}
        for line in lines[1:]
    }


def ratio(number: int) -> Changes:
    """An imbalance ratio."""
    return {"data": {"init_args": {"imbalance_ratio": number}}}


def network(name: str) -> Changes:
    """A backbone by its class."""
    return {"model": {"init_args": {"backbone": name}}}


def loss_with(**arguments: float) -> Changes:
    """Arguments of the preset's loss."""
    return {"model": {"init_args": {"loss": {"init_args": arguments}}}}


def _known(argument: str, given: str, names: list[str]) -> list[str]:
    wanted = [name.strip() for name in given.split(";") if name.strip()]
    for name in wanted:
        if name not in names:
            raise UsageError(f"`{argument}` names {name!r}, which this table has not; choose from {'; '.join(names)}.")
    return wanted or names
