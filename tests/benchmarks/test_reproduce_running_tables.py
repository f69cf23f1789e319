"""Runs of tiny tables on the digits: skipped when finished, resumed when stopped, written down one by one."""

from dataclasses import replace

import pytest
from reproducing.records import append, key_of, path, read
from reproducing.running_tables import run_table
from reproducing.tables import Cell, Column, Table, Training
from reproducing.training import Budget, train

from lt_lightning.errors import UsageError

EPOCHS = 3


@pytest.fixture
def table(training, method, monkeypatch):
    """Two rows of one stage, or two of stage 2."""

    def make(two_stages=False):
        column = Column("digits", "digits", {"all": "all", "few": "few"}, test_images=500)
        cells = [Cell("first", "digits", training), Cell("second", "digits", training.changed(lighter()))]
        if two_stages:
            methods = {"LORT": "lort", "tau": "tau_norm"}
            cells = [Cell(row, "digits", training, method(name)) for row, name in methods.items()]
            cells.insert(0, Cell("stage 1 as it is", "digits", training))
        made = Table("tiny", "Tiny", "best of five runs", (column,), tuple(cells))
        rows = {"first": {"all": 80.0, "few": 30.0}, "LORT": {"all": 90.0}}
        monkeypatch.setattr(Table, "published", lambda self: rows)
        return made

    return make


def lighter():
    return {"trainer": {"max_epochs": 1}}


def test_finished_runs_are_written_down_and_skipped(table, settings, capsys):
    tiny = table()
    outcome = run_table(tiny, tiny.cells, replace(settings, seeds=2))
    assert (outcome.finished, outcome.there, outcome.unfinished, outcome.impossible) == (4, 0, [], {})
    records = read(settings.results, "tiny")
    assert [(r["key"]["row"], r["seeds"]) for r in records] == [
        ("first", [0]),
        ("second", [0]),
        ("first", [1]),
        ("second", [1]),
    ]
    first, second = records[:2]
    assert first["preset"].endswith("tiny.yaml")
    assert (first["epochs"], second["epochs"]) == (EPOCHS, 1)
    assert second["changes"] == lighter()
    assert first["protocol"] == {"selection": "last epoch", "test_time_averaging": "none", "precision": "32-true"}
    assert {"all", "many", "medium", "few"} <= set(first["accuracy"])
    assert first["seconds"] > 0
    assert len(first["hashes"]["train"]) == 64
    assert {"lt_lightning", "hardware", "threads"} <= set(first["environment"])
    assert first["accuracy"] != records[2]["accuracy"]
    assert "first: " in capsys.readouterr().out

    again = run_table(tiny, tiny.cells, replace(settings, seeds=2))
    assert (again.finished, again.there) == (0, 4)
    assert read(settings.results, "tiny") == records


def test_a_training_that_another_table_has_recorded_fills_this_ones_cell(table, settings, tmp_path):
    tiny = table()
    run_table(tiny, tiny.cells[1:], replace(settings, seeds=2))
    cells = [replace(cell, row=f"{cell.row} here") for cell in tiny.cells]
    twin = replace(tiny, name="twin", cells=tuple(cells))
    elsewhere = replace(settings, runs=tmp_path / "elsewhere", seeds=2)
    run_table(twin, cells[1:], elsewhere)
    assert not elsewhere.runs.exists()
    there, found = read(settings.results, "tiny"), read(settings.results, "twin")
    assert [r["key"]["row"] for r in found] == ["second here"] * 2
    assert [r["measured_for"] for r in found] == ["tiny"] * 2
    assert [r["accuracy"] for r in found] == [r["accuracy"] for r in there]
    no_time = replace(elsewhere, seeds=3, budget=Budget(0))
    outcome = run_table(twin, cells[1:], no_time)
    assert (outcome.there, outcome.unfinished) == (2, ["second here, digits, seed 2"])
    assert run_table(twin, cells[:1], no_time).unfinished == ["first here, digits, seed 0"]
    coarser = replace(no_time, precision="bf16-mixed")
    assert run_table(twin, cells[1:], coarser).unfinished == ["second here, digits, seed 0"]


def test_a_stopped_training_goes_on_and_ends_where_it_would_have(table, settings, tmp_path, counted):
    tiny = table()
    whole = run_table(tiny, tiny.cells[:1], replace(settings, results=tmp_path / "whole", runs=tmp_path / "other"))
    assert whole.finished == 1
    # One question before it begins, one after the first epoch.
    stopped = run_table(tiny, tiny.cells, replace(settings, budget=counted(1)))
    assert stopped.finished == 0
    assert stopped.unfinished == ["first, digits, seed 0 (stopped; it goes on from its checkpoint)"]
    assert read(settings.results, "tiny") == []
    assert len(list(settings.runs.rglob("last.ckpt"))) == 1

    stopped_again = run_table(tiny, tiny.cells[:1], replace(settings, budget=counted(1)))
    assert stopped_again.unfinished
    assert run_table(tiny, tiny.cells[:1], settings).finished == 1
    (resumed,), (expected,) = read(settings.results, "tiny"), read(tmp_path / "whole", "tiny")
    assert resumed["accuracy"] == expected["accuracy"]
    assert resumed["epochs"] == EPOCHS
    assert len(list(settings.runs.rglob("version_*"))) == EPOCHS
    assert len(list(settings.runs.rglob("last.ckpt"))) == 1  # those of earlier parts are gone


def test_nothing_begins_without_time_for_an_epoch(table, settings):
    tiny = table()
    outcome = run_table(tiny, tiny.cells, replace(settings, budget=Budget(0)))
    assert outcome.unfinished == ["first, digits, seed 0"]
    assert not settings.runs.exists()
    run_table(tiny, tiny.cells[:1], settings)
    (record,) = read(settings.results, "tiny")
    an_epoch = record["seconds"] / EPOCHS
    short = run_table(tiny, tiny.cells, replace(settings, budget=Budget(0.5 * an_epoch / 60)))
    assert (short.there, short.unfinished) == (1, ["second, digits, seed 0"])


def test_what_other_hardware_has_taken_keeps_nothing_from_beginning(table, settings):
    tiny = table()
    run_table(tiny, tiny.cells[:1], settings)
    (record,) = read(settings.results, "tiny")
    slow = {**record, "seconds": 1e9, "environment": {**record["environment"], "hardware": "another"}}
    path(settings.results, "tiny").unlink()
    append(settings.results, "tiny", [slow])
    outcome = run_table(tiny, tiny.cells, replace(settings, budget=Budget(60)))
    assert (outcome.there, outcome.finished, outcome.unfinished) == (1, 1, [])


def test_stage2_runs_on_each_stage1_with_each_seed(table, settings):
    tiny = table(two_stages=True)
    both = replace(settings, seeds=2, stage1_seeds=2)
    outcome = run_table(tiny, tiny.cells, both)
    # Stage 1 twice; LORT twice on each; τ-norm, which nothing trains, once on each.
    assert (outcome.finished, outcome.there, outcome.impossible) == (2 + 4 + 2, 0, {})
    records = read(settings.results, "tiny")
    lort = [key_of(r) for r in records if r["key"]["row"] == "LORT"]
    assert {(key.stage1_seed, key.seed) for key in lort} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert all(key.mode == "features" and key.views == "1" for key in lort)
    one = next(r for r in records if r["key"]["row"] == "LORT")
    assert one["preset"] == "cifar100_lt/lort"
    assert one["protocol"] == {"selection": "last epoch", "views": 1, "bn_mode": "eval", "test_time_averaging": "none"}
    assert one["stage1"] == {"name": tiny.cells[0].stage1.preset, "seed": 0, "another": False, "backbone": "SmallCNN"}
    assert one["epochs"] == 20  # the preset's: `compare` reads no trainer of the table's
    assert one["chosen"] == {}
    again = run_table(tiny, tiny.cells, both)
    assert (again.finished, again.there) == (0, 8)


@pytest.mark.parametrize("protocol", ["images", "validation", "paper"])
def test_protocols_of_stage2_are_kept_apart(table, settings, protocol):
    tiny = table(two_stages=True)
    if protocol == "paper":
        tiny = replace(tiny, cells=tiny.cells[2:])  # τ-norm alone: LORT has 20 epochs of images there
    outcome = run_table(tiny, tiny.cells, replace(settings, protocol=protocol))
    assert (outcome.finished, outcome.impossible) == (len(tiny.cells), {})
    record = read(settings.results, "tiny")[-1]
    assert record["key"]["mode"] == protocol
    expected = {
        "images": {"selection": "last epoch", "views": "images", "bn_mode": "train", "test_time_averaging": "none"},
        "validation": {"selection": "val", "views": 1, "bn_mode": "eval", "test_time_averaging": "none"},
        "paper": {"selection": "best_on_test", "views": "images", "bn_mode": "train", "test_time_averaging": "flip"},
    }[protocol]
    assert {key: record["protocol"][key] for key in expected} == expected
    assert run_table(tiny, tiny.cells, replace(settings, protocol=protocol)).finished == 0


def test_a_checkpoint_from_elsewhere_is_another_stage1(table, settings, training, tmp_path, tiny_backbone):
    tiny = table(two_stages=True)
    trained = train(training.config(settings.for_all), tmp_path / "elsewhere", Budget())
    given = replace(settings, checkpoint=trained.checkpoint, backbone=tiny_backbone)
    outcome = run_table(tiny, tiny.cells, given)
    assert (outcome.finished, outcome.impossible) == (3, {})
    records = {r["key"]["row"]: r for r in read(settings.results, "tiny")}
    assert all(r["stage1"]["another"] and r["stage1"]["name"] == "SmallCNN, last.ckpt" for r in records.values())
    test = trained.results["evaluation"]["test"]["accuracy"]
    assert records["stage 1 as it is"]["accuracy"]["all"] == pytest.approx(test["all"])
    one_stage = table()
    with pytest.raises(UsageError, match=r"`checkpoint` cannot go with tiny, which has no stage 2 here"):
        run_table(one_stage, one_stage.cells, given)
    twice = replace(tiny, cells=(*tiny.cells, replace(tiny.cells[1], stage1=training.changed(lighter()))))
    with pytest.raises(UsageError, match=r"`checkpoint` cannot go with tiny, which has 2 stages 1 here"):
        run_table(twice, twice.cells, given)


def test_a_column_that_cannot_be_run_is_named_and_others_go_on(table, settings, capsys):
    tiny = table()
    missing = Cell("first", "absent", Training("mnist/stage1/sml"))
    both = replace(tiny, columns=(Column("absent", "Absent", {"all": "all"}), *tiny.columns))
    nowhere = {"data": {"init_args": {"root": str(settings.runs / "nowhere")}}}
    cells = [replace(missing, stage1=missing.stage1.changed(nowhere)), tiny.cells[1]]
    outcome = run_table(both, cells, settings)
    assert outcome.finished == 1
    assert list(outcome.impossible) == ["absent"]
    assert "tiny, Absent: not run: " in capsys.readouterr().out
