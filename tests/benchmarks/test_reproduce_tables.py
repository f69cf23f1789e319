"""What ``benchmarks/reproduce.py`` would run is there, and covers the papers' tables or says why not."""

import re
from pathlib import Path

import pytest
import yaml
from reproducing.every import FIGURES, LEFT_OUT, NAMES, SIMULATION, TABLES
from reproducing.running_tables import TRAINING_FREE
from reproducing.tables import PAPERS, published

from lt_lightning import presets
from lt_lightning.errors import UsageError
from lt_lightning.main import LTCLI

ROOT = Path(__file__).resolve().parents[2]

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
TRAININGS = {
    training.folder: training
    for part in (*(cell for table in TABLES.values() for cell in table.cells), *FIGURES.values())
    for training in (part.stage1, part.stage2)
    if training is not None
}


def test_every_table_of_values_is_run_or_says_why_not():
    files = {file.stem for file in PAPERS.glob("*.csv")}
    assert files == set(TABLES) | {SIMULATION} | set(LEFT_OUT)
    assert set(NAMES) == set(TABLES) | set(FIGURES) | {SIMULATION}


def test_values_are_those_that_the_project_was_given(shared):
    theirs = sorted((shared / "paper_tables").glob("*.csv"))
    assert [file.name for file in theirs] == sorted(file.name for file in PAPERS.glob("*.csv"))
    for file in theirs:
        assert (PAPERS / file.name).read_text() == file.read_text()


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_value_has_a_run_or_a_reason(name):
    table = TABLES[name]
    there = {(cell.row, cell.column) for cell in table.cells}
    assert len(there) == len(table.cells)
    of_csv = {key: column.name for column in table.columns for key in (*column.figures.values(), column.spread) if key}
    for row, values in table.published().items():
        for key in values:
            reasons = {row, key, f"{row} | {of_csv.get(key)}"} & set(table.left_out)
            assert bool(reasons) != ((row, of_csv.get(key)) in there), (row, key)
    assert {cell.row for cell in table.cells} <= set(table.rows)
    assert {cell.column for cell in table.cells} == {column.name for column in table.columns}


def test_every_run_names_a_preset_whose_settings_it_changes():
    loaded = {name: presets.load(name) for name in {training.preset for training in TRAININGS.values()}}
    assert set(loaded) <= set(presets.names())
    for training in TRAININGS.values():
        changed = presets.merge(loaded[training.preset], training.changes)
        assert (loaded[training.preset] != changed) == bool(training.changes), training
        module = "RepresentationModule" if "/stage1/" in training.preset else "RetrainModule"
        assert changed["model"]["class_path"] == module, training


def leaves(changes, keys=()):
    for key, value in changes.items():
        yield from leaves(value, (*keys, key)) if isinstance(value, dict) else [".".join((*keys, key))]


CHANGED = {
    " ".join([training.preset.partition("/")[0].partition("_")[0], *leaves(training.changes)]): training
    for training in TRAININGS.values()
    if training.changes and training.preset.startswith(("cifar", "mnist"))
}
"""One training for each setting that is changed."""


@pytest.mark.parametrize("training", CHANGED.values(), ids=CHANGED.keys())
def test_changed_settings_are_understood(training):
    stage2 = {"init_args": {"checkpoint": "stage1.ckpt"}} if "/stage1/" not in training.preset else {}
    made = LTCLI(training.config({"trainer": QUIET, "model": stage2}), run=False)
    change = training.changes
    for key, value in change.get("data", {}).get("init_args", {}).items():
        assert getattr(made.datamodule, key) == value
    for key, value in change.get("model", {}).get("init_args", {}).items():
        if key == "backbone":
            assert type(made.model.backbone).__name__ == value
    loss = change.get("model", {}).get("init_args", {}).get("loss", {}).get("init_args", {})
    given = yaml.safe_load(made.parser.dump(made.config))["model"]["init_args"]["loss"]
    assert loss.items() <= (given.get("init_args", {}) if isinstance(given, dict) else {}).items()


def test_rows_without_training_are_known():
    for name in presets.names():
        if name.startswith("cifar100_lt/") and "/stage1/" not in name and "pipeline" not in name:
            config = presets.load(name)
            assert ("max_epochs" not in config.get("trainer", {})) == (name.rpartition("/")[2] in TRAINING_FREE), name


def test_the_grids_are_those_of_the_documentation():
    text = (ROOT / "docs" / "compare.md").read_text()
    commands = [line for line in text.splitlines() if "--methods lort --grid" in line]
    assert len(commands) == len(FIGURES) == 2
    for command, figure in zip(commands, FIGURES.values(), strict=True):
        grid = {
            key: tuple(map(float, values.split(","))) for key, values in re.findall(r"--grid\.(\w+) (\S+)", command)
        }
        assert grid == dict(figure.grid)


def test_rows_and_columns_are_chosen_by_name():
    table = TABLES["lgl3"]
    cells = table.chosen("CNN2C, LGL; CNN5C, SML", "mnist")
    assert [(cell.row, cell.column) for cell in cells] == [("CNN2C, LGL", "mnist"), ("CNN5C, SML", "mnist")]
    assert len(table.chosen("", "mnist")) == 6
    with pytest.raises(UsageError, match=r"`rows` names 'CNN3C', which this table has not; choose from CNN2C, LGL; "):
        table.chosen("CNN3C", "")
    with pytest.raises(UsageError, match=r"`columns` names 'svhn', .*; choose from mnist; fmnist; kmnist"):
        table.chosen("", "svhn")


def test_values_are_read_by_row_and_column():
    assert published("lort1")["LDAM"] == {"all": 52.94, "many": 72.37, "medium": 54.31, "few": 28.67}
    assert published("lgl3", 2)["CNN5C, LGL-INR"]["mnist"] == 99.63
    assert "imagenet_many" not in published("lort2")["LDAM-DRW"]
    assert len(TABLES["elm1"].cells) == 20 * 8


def test_what_the_papers_call_top_1_is_the_share_of_images():
    """The test images of MNIST are not equal in number, nor are those of other sets that are not cut to be."""
    assert {name: TABLES[name].columns[0].main for name in ("lgl3", "elm2", "elm3")} == dict.fromkeys(
        ("lgl3", "elm2", "elm3"), "micro"
    )


def test_equal_trainings_have_one_folder():
    lort1, lort2 = TABLES["lort1"], TABLES["lort2"]
    (lort,) = lort2.chosen("LORT", "cifar100_ir100")
    (other,) = lort2.chosen("LORT", "cifar100_ir50")
    assert lort.stage1.folder == lort1.cells[0].stage1.folder == "cifar100_lt/stage1/ce"
    assert other.stage1.folder != lort.stage1.folder
