"""Finished runs: one file a table in ``benchmarks/results``, and what earlier scripts have measured."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lt_lightning.results import write_json

RESULTS = Path(__file__).resolve().parents[1] / "results"

PROTOCOL = ("selection", "views", "bn_mode", "test_time_averaging")
"""What ``compare`` writes down that keeps figures apart."""

Record = dict[str, Any]
"""A finished run, or a mean of several; keys as :mod:`reproducing.recording` sets them."""


def path(folder: Path, table: str) -> Path:
    """The file of a table."""
    return folder / f"reproduce_{table}.json"


def read(folder: Path, table: str) -> list[Record]:
    """The finished runs of a table, in the order in which they finished."""
    file = path(folder, table)
    return list(json.loads(file.read_text())["runs"]) if file.is_file() else []


def append(folder: Path, table: str, new: list[Record]) -> None:
    """Add runs to a table's file, which is there as a whole before and after."""
    if new:
        write_json(path(folder, table), {"table": table, "runs": [*read(folder, table), *new]})


def of_another_table(folder: Path, table: str, key: "Key", preset: str, changes: Mapping[str, Any]) -> Record | None:
    """The record of a training as this one that was run for another table: one measurement fills cells of several.

    Args:
        folder: Of all records.
        table: Whose cell it would fill.
        key: Of that cell.
        preset: That is trained, alone.
        changes: What differs from it.

    Returns:
        It, with this key; ``None`` if there is none.
    """
    for file in sorted(folder.glob("reproduce_*.json")):
        content = json.loads(file.read_text())
        for record in content["runs"] if content["table"] != table else []:
            there = key_of(record)
            if replace(there, row=key.row, column=key.column) == key and (record["preset"], record["changes"]) == (
                preset,
                changes,
            ):
                return {"measured_for": content["table"], **record, "key": key_fields(key)}
    return None


@dataclass(frozen=True)
class Key:
    """What makes a run another one: where this is equal, the run need not be repeated.

    Attributes:
        row: Of the table.
        column: Of the table.
        mode: How it was run: ``fit``, or one of ``--protocol``; in words where it was on other data than the preset's.
        stage1: Preset or file that stage 2 started from; empty where stage 1 is all.
        stage1_seed: Of stage 1; ``None`` for a file.
        seed: Of what was trained last; for means, of the first.
        views: As asked for; empty where no features are made.
        precision: As asked for; empty for the preset's.
    """

    row: str
    column: str
    mode: str
    stage1: str
    stage1_seed: int | None
    seed: int
    views: str = ""
    precision: str = ""


def key_of(record: Mapping[str, Any]) -> Key:
    """The key that a record was made with."""
    return Key(**record["key"])


def key_fields(key: Key) -> dict[str, Any]:
    """A key as a record holds it."""
    return dict(vars(key))


def notes(folder: Path) -> dict[str, dict[str, str]]:
    """Sentences on rows outside a paper's spread: by table, then by ``"row | column"``; of a figure by ``grid``."""
    file = folder / "notes.json"
    return dict(json.loads(file.read_text())) if file.is_file() else {}


# -- what earlier scripts have measured --------------------------------------------------------------------------------


def compared(folder: Path, methods: Mapping[str, str], stage1_row: str, column: str) -> list[Record]:
    """Means of ``compare`` on a checkpoint from elsewhere, as rows of a table.

    Args:
        folder: With ``compare_resnet32.json``.
        methods: Stage-2 method by row.
        stage1_row: Name of the row of stage 1 itself; empty if the table has none.
        column: That the checkpoint belongs to.
    """
    file = folder / "compare_resnet32.json"
    if not file.is_file():
        return []
    found: list[Record] = []
    for run in json.loads(file.read_text())["runs"]:
        for row, method in {**({stage1_row: "stage 1"} if stage1_row else {}), **methods}.items():
            there = run["rows"].get(method)
            if there is None:
                continue
            protocol = {name: run["protocol"][name] for name in PROTOCOL}
            figures = {
                "chosen": there["chosen"],
                "accuracy": there["mean"],
                "standard_deviation": there["standard_deviation"],
                "seconds": there["seconds"],
            }
            found.append(_imported(row, column, method, run, run["seeds"], protocol) | figures)
    return found


def trained_on_features(folder: Path, methods: Mapping[str, str], stage1_row: str, column: str) -> list[Record]:
    """Runs of all methods on the features of one view; arguments as of :func:`compared`."""
    file = folder / "stage2_methods.json"
    if not file.is_file():
        return []
    run = json.loads(file.read_text())
    protocol = {**run["protocol"], "selection": "last epoch"}
    found = []
    for row, method in {**({stage1_row: "stage1"} if stage1_row else {}), **methods}.items():
        for one in run["methods"].get(method, []):
            figures = {name: value for name, value in one.items() if name not in ("seed", "seconds")}
            found.append(
                _imported(row, column, method, run, [one["seed"]], protocol)
                | {"accuracy": figures, "standard_deviation": None, "seconds": one["seconds"]}
            )
    return found


def _imported(
    row: str, column: str, method: str, run: Mapping[str, Any], seeds: list[int], protocol: Mapping[str, Any]
) -> Record:
    source = f"{run['backbone']}, a checkpoint from elsewhere"
    key = Key(row, column, "imported", source, None, seeds[0])
    return {
        "key": key_fields(key),
        "preset": None if method in ("stage 1", "stage1") else f"cifar100_lt/{method}",
        "stage1": {"backbone": run["backbone"], "another": True},
        "seeds": seeds,
        "protocol": dict(protocol),
        "environment": run["environment"],
        "hashes": run["data"]["hashes"],
    }
