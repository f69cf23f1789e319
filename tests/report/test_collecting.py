"""Files below folders."""

import errno
import json
import os
from pathlib import Path

import pytest

from lt_lightning import report
from lt_lightning.errors import UsageError
from lt_lightning.report.collecting import collect
from lt_lightning.report.runs import NO_DETAIL


def test_a_repeated_run_counts_once_the_last_one(write, run, rows_of, here):
    for name, value in (("a", 0.4), ("b", 0.6)):
        write(name, run(value), "seed_everything: 0\n")
    os.utime(here / "a/results.json", (1, 1))
    (row,), notes = rows_of(".")
    assert [found.figures["all"] for found in row.runs] == [0.6]
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


@pytest.mark.parametrize("earlier", ["2025-03-01T09:00:00.000+00:00", None], ids=["dated", "of before files had dates"])
def test_of_copies_whose_times_are_lost_the_run_that_was_written_last_counts(write, run, rows_of, here, earlier):
    """As rsync without `-t`, `git clone` and object stores lose them."""
    config = "seed_everything: 0\n"
    write("a", run(0.6, written="2025-03-01T10:00:00.000+00:00"), config)
    write("b", run(0.4, **({"written": earlier} if earlier else {})), config)
    os.utime(here / "a/results.json", (1, 1))
    (row,), _ = rows_of(".")
    assert row.mean("all") == 0.6


def test_of_copies_without_any_time_the_last_by_its_number_counts(write, run, rows_of, here):
    for number in (2, 10, 9):
        write(f"version_{number}", run(number / 100), "seed_everything: 0\n")
        os.utime(here / f"version_{number}/results.json", (1, 1))
    (row,), _ = rows_of(".")
    assert row.mean("all") == 0.1


@pytest.mark.parametrize(("seed", "runs"), [(0, 1), (None, 2), (False, 2)])
def test_a_run_of_the_same_seed_in_another_folder_is_the_same_run(write, run, rows_of, seed, runs):
    """An array job that forgets to pass its seed leaves a hundred equal runs, and no spread."""
    for name in ("a", "b"):
        config = f"seed_everything: {seed}\ntrainer:\n  default_root_dir: {name}\n"
        write(name, run(0.5, seed=seed), config)
    (row,), notes = rows_of(".")
    assert len(row.runs) == runs
    assert len(notes) == 2 - runs


def test_a_training_that_took_another_number_of_steps_counts_once(write, run, rows_of):
    for place, (seed, steps) in enumerate([(0, 500), (1, 600), (2, 700), (0, 510)]):
        write(f"runs/{place}", run(0.4 + place / 10, seed=seed, steps=steps, seconds={"fit": 9.0}), "lr: 0.1\n")
    (row,), notes = rows_of("runs")
    assert sorted(each.figures["all"] for each in row.runs) == pytest.approx([0.5, 0.6, 0.7])
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


@pytest.mark.parametrize("key", ["checkpoint", "config", "output", "root", "seed_everything"])
def test_an_own_parts_argument_of_a_places_name_is_a_setting(write, run, rows_of, key):
    for value in ("small", "large"):
        model = f"model:\n  init_args:\n    backbone:\n      init_args:\n        {key}: {value}\n"
        write(value, run(0.5, seed=0), f"seed_everything: 0\n{model}")
    rows, notes = rows_of(".")
    assert (len(rows), notes) == (2, [])


def test_runs_keep_what_a_plot_shows_only_if_asked_to(write, run, here):
    write("a", run(0.4))
    (whole,), _ = collect([here])
    (bare,), _ = collect([here], detail=False)
    assert whole.detail.class_counts == [300, 50, 4]
    assert bare.detail == NO_DETAIL
    assert bare == whole  # in all that a report is made of


def test_a_configuration_that_cannot_be_read_repeats_none(write, run, rows_of):
    for name in ("a", "b"):
        write(name, run(0.5, seed=0), "a: [\n")
    (row,), notes = rows_of(".")
    assert (len(row.runs), notes) == (2, [])


@pytest.mark.parametrize(("key", "sizes"), [("started_from", [1, 1]), ("stage1", [2])])
def test_runs_on_files_of_one_name_repeat_each_other_only_where_the_files_are_equal(write, run, rows_of, key, sizes):
    for name, value, content in (("a", 0.4, "1"), ("b", 0.6, "2"), ("c", 0.6, "2")):
        write(
            name,
            run(value, **{key: {"path": "last.ckpt", "sha256": 64 * content}}),
            "model:\n  init_args:\n    checkpoint: last.ckpt\n",
        )
    rows, notes = rows_of(".")
    assert sorted(found.figures["all"] for row in rows for found in row.runs) == [0.4, 0.6]
    assert [len(row.runs) for row in rows] == sizes  # of two files nobody knows whether they are seeds of one training
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


def test_a_pipeline_brings_its_stages_once(write, run, pipeline, rows_of, here):
    stage = {"test": {"all": 0.5, "few": None}, "group_sizes": {}}
    write("p", pipeline({"stage1": stage, "lort": stage}), "seed_everything: 0\n")
    write("p/lort", run(0.5, bn_mode="train"))
    for folders in (("p",), ("p", here / "p/lort"), (here / "p/lort", "p")):
        rows, notes = rows_of(*folders)
        assert {(row.names[2], row.protocol[2]) for row in rows} == {("stage1", "eval"), ("lort", "train")}
        assert notes == []


@pytest.mark.parametrize("named", ["p", "p/better/version_0"])
def test_a_run_in_the_folder_of_a_pipeline_counts_too(write, pipeline, compared, rows_of, named):
    write("p", pipeline({"stage1": {"test": {"all": 0.5}}}), "seed_everything: 0\n")
    seeds = [{"seed": 0, "accuracy": {"all": 0.6}}]
    write("p/better/version_0", compared({"crt": {"selection": "val", "seeds": seeds}}))
    rows, notes = rows_of("p", named)
    assert ({row.names.method: len(row.runs) for row in rows}, notes) == ({"stage1": 1, "crt": 1}, [])


@pytest.fixture
def unfinished(write, run):
    """A pipeline of two stages, of which those that have figures have finished."""

    def leave(place, **stages):
        noted = {"job": None, "preset": "made/lort", "config": "", "stages": stages}
        Path(place).mkdir(parents=True)
        (Path(place) / "unfinished.json").write_text(json.dumps(noted))
        (Path(place) / "config.yaml").write_text("seed_everything: 1\nstage2: {lort: {}}\n")
        for name in ("stage1", "lort"):  # the last has been trained, and is still to be tested
            write(f"{place}/{name}", run(0.9, split="test" if name in stages else "val", seed=1, head=name))

    return leave


def test_what_has_finished_of_a_pipeline_counts_like_the_same_of_others(write, pipeline, unfinished, rows_of):
    stage = {"test": {"all": 0.5}, "selection": "none: the weights of the last epoch"}
    write("p/0", pipeline({"stage1": stage, "lort": stage}), "seed_everything: 0\nstage2: {lort: {}}\n")
    unfinished("p/1", stage1=stage)
    for folders in (("p",), ("p", "p/1/lort")):
        rows, notes = rows_of(*folders)
        assert {row.names.method: row.seeds for row in rows} == {"stage1": [0, 1], "lort": [0]}
        assert notes == [
            "1 pipelines have not finished, of which the finished stages count: p/1; `lt-lightning pipeline --resume` "
            "goes on with one that was interrupted."
        ]


def test_a_pipeline_of_which_nothing_has_finished_is_said(unfinished):
    unfinished("p")
    with pytest.raises(UsageError, match=r"`folders` p hold nothing to report: 1 pipelines have not finished.*: p; "):
        collect([Path("p")])


@pytest.mark.parametrize(
    ("lost", "seeds"), [(("stage1",), {"stage1": [0, 1], "lort": [0]}), (("stage1", "lort"), None)]
)
def test_what_has_finished_of_a_pipeline_whose_files_are_lost(write, pipeline, unfinished, rows_of, here, lost, seeds):
    stage = {"test": {"all": 0.5}, "selection": "none: the weights of the last epoch"}
    write("p/0", pipeline({"stage1": stage, "lort": stage}), "seed_everything: 0\nstage2: {lort: {}}\n")
    unfinished("p/1", stage1=stage)
    for name in lost:
        (here / "p/1" / name / "results.json").unlink()
    rows, notes = rows_of("p")
    assert {row.names.method: row.seeds for row in rows} == (seeds or {"stage1": [0], "lort": [0]})
    assert [note.partition(",")[0] for note in notes] == ["1 pipelines have not finished"]


def test_a_damaged_row_of_an_unfinished_pipeline_makes_no_stage_a_run(write, run, unfinished, rows_of):
    write("good", run(0.4))
    unfinished("p", stage1={"test": {"all": 0.5}}, lort=["damaged"])
    rows, notes = rows_of(".")
    assert len(rows) == 1
    assert [note.partition(",")[0] for note in notes] == [
        "p/unfinished.json is no results file of this package and is left out.",
        "1 pipelines have not finished",
    ]


def test_many_files_are_looked_up_once_each(write, run, pipeline, rows_of, monkeypatch):
    """On a shared file system every look costs milliseconds; among many pipelines each stage took one for each."""
    stage = {"test": {"all": 0.5}}
    for seed in range(20):
        write(f"p/{seed}", pipeline({"stage1": stage, "lort": stage}) | {"seed": seed}, f"seed_everything: {seed}\n")
        for name in ("stage1", "lort"):
            write(f"p/{seed}/{name}", run(0.5, seed=seed), f"seed_everything: {seed}\n")
    looked = {"resolve": 0, "read_text": 0}

    def count(name, really):
        def counted(*arguments, **options):
            looked[name] += 1
            return really(*arguments, **options)

        monkeypatch.setattr(Path, name, counted)

    for name in looked:
        count(name, getattr(Path, name))
    rows, _ = rows_of("p")
    assert [len(row.runs) for row in rows] == [20, 20]
    assert looked == {"resolve": 60, "read_text": 80}  # of each pipeline: record, configuration, records of two stages


def test_what_diverged_is_said(write, pipeline, compared, rows_of):
    write("p", pipeline({"stage1": {"test": {"all": 0.5}}, "crt": {"folder": "crt", "diverged": True}}))
    seeds = [{"seed": 0, "accuracy": {"all": 0.5}}]
    write("c", compared({"lort": {"selection": "val", "seeds": seeds}, "ldam": {"selection": "val", "seeds": []}}))
    rows, notes = rows_of(".")
    assert {row.names.method for row in rows} == {"stage1", "lort"}
    assert notes == [
        "2 rows of runs have no figures, as training diverged: ldam in c/results.json, crt in p/results.json."
    ]


def test_what_is_no_pipeline_of_ours_hides_nothing_below_it(write, run, rows_of):
    write(".", {"stages": ["somebody", "else's"]})
    write("a", run(0.4))
    (row,), notes = rows_of(".")
    assert row.mean("all") == 0.4
    assert notes == ["results.json is no results file of this package and is left out."]


def test_a_figure_that_is_infinite_is_none(write, run, rows_of):
    write("a", run(float("inf")))
    (row,), _ = rows_of(".")
    assert (row.mean("all"), row.mean("many")) == (None, 0.9)


@pytest.mark.parametrize(
    "damage",
    [
        {"class_counts": [float("inf"), 100, 4]},
        {"class_counts": [10**30, 100, 4]},
        {"group_thresholds": [20, 10**400]},
        {"accuracy": {"all": 10**400}},
        {"per_class": {"accuracy": [0.5, 0.4, 10**400]}},
        {"seed": [0]},
        {"seed": {"a": 1}},
        {"group_thresholds": "ab"},
        {"per_class": None},
        {"per_class": {"accuracy": [0.5, 0.4]}},
        {"per_class": {"accuracy": [0.5, 0.4, "high"]}},
        {"per_class": {"accuracy": 0.4}},
        {"calibration": {"bins": None}},
        {"calibration": {"bins": {"images": [1, 2], "confidence": [0.5], "accuracy": [0.1, 0.2]}}},
    ],
    ids=lambda damage: str(damage)[:60],
)
def test_a_damaged_record_is_left_out_and_costs_the_others_nothing(write, run, rows_of, damage):
    write("good", run(0.4))
    record = run(0.6)
    place = record if damage.keys() <= record.keys() else record["evaluation"]["test"]
    place |= damage
    write("damaged", record)
    (row,), notes = rows_of(".")
    assert row.mean("all") == 0.4
    assert notes == ["damaged/results.json is no results file of this package and is left out."]


@pytest.mark.parametrize("mean", [10**400, "high"], ids=["large", "word"])
def test_a_damaged_grid_is_left_out_with_its_comparison(write, run, compared, rows_of, mean):
    write("good", run(0.4))
    seeds = [{"seed": 0, "accuracy": {"all": 0.5}}]
    tried = [{"point": {"lr": 0.1}, "mean": mean}]
    write("damaged", compared({"lort": {"selection": "val", "seeds": seeds, "validation": tried}}))
    (row,), notes = rows_of(".")
    assert row.mean("all") == 0.4
    assert notes == ["damaged/results.json is no results file of this package and is left out."]


def test_a_record_that_is_too_deep_is_left_out(write, run, rows_of):
    write("good", run(0.4))
    write("deep", 100000 * "[")
    (row,), (note,) = rows_of(".")
    assert row.mean("all") == 0.4
    assert note.startswith("deep/results.json cannot be read (")


def test_what_cannot_be_read_is_named_and_left_out(write, run, rows_of):
    write("good", run(0.4))
    write("cut", '{"evaluation": ')
    write("foreign", {"accuracy": 0.9})
    write("list", "[1]")
    write("val", run(0.3, split="val"))
    rows, notes = rows_of(".")
    assert len(rows) == 1
    assert [note.partition(" is ")[2] or note for note in notes[1:3]] == [
        "no results file of this package and is left out."
    ] * 2
    assert notes[0].startswith("cut/results.json cannot be read (")
    assert notes[-1] == "1 runs without figures of the test images are left out; try `--split val`."
    assert rows_of(".", split="val")[0][0].mean("all") == 0.3


def test_runs_with_figures_of_the_other_split_are_taken_on_request(write, run, here):
    write("tested", run(0.4))
    write("fitted", run(0.3, split="val"), "lr: 0.1\n")
    runs, notes = report.collect([here], either=True)
    assert [(found.split, found.figures["all"]) for found in runs] == [("val", 0.3), ("test", 0.4)]
    assert notes == ["1 runs without figures of the test images are left out, but for curves; try `--split val`."]
    with pytest.raises(
        UsageError, match=r"of the validation images, but 1 of them of the test images; add `--split test`\.$"
    ):
        report.collect([here / "tested"], "val")


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("nowhere", "`folders` names 'nowhere', which does not exist"),
        ("empty", "`folders` names 'empty', below which there is no results.json"),
        (
            "val",
            "none of 1 files below has figures of the test images, but 1 of them of the validation images; add "
            "`--split val`, or run `lt-lightning test` on their checkpoints.",
        ),
    ],
)
def test_nothing_to_report_is_one_sentence(write, run, here, folder, sentence):
    (here / "empty").mkdir()
    write("val", run(0.3, split="val"))
    with pytest.raises(UsageError, match=sentence):
        report.main(["report", folder])


@pytest.fixture
def closed(here, monkeypatch):
    """A folder that only another user may read; a test may run as one who may read all."""
    scan = os.scandir

    def refuse(place):
        if Path(place) == Path("group/closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)


def test_folders_that_cannot_be_read_are_said(write, run, rows_of, closed):
    write("group/own", run(0.4), "seed_everything: 0\n")
    write("group/closed", run(0.6), "seed_everything: 1\n")
    (row,), notes = rows_of("group")
    assert (row.mean("all"), notes) == (0.4, ["1 folders cannot be read and are left out: group/closed."])
    with pytest.raises(UsageError, match=r"no results\.json, as far as one can see: 1 folders cannot be read and are"):
        rows_of("group/closed")


def test_folders_without_results_are_said_and_cost_the_others_nothing(write, run, rows_of, here):
    """As those of runs that have just begun, of `report runs/*`."""
    write("a", run(0.4))
    for name in ("b", "c"):
        (here / name).mkdir()
    (row,), notes = rows_of("a", "b", "c")
    assert (row.mean("all"), notes) == (0.4, ["2 folders without results are left out: b, c."])
    with pytest.raises(UsageError, match=r"`folders` names 'b', 'c', below which there is no results\.json"):
        rows_of("b", "c")


def test_runs_behind_links_count_once(write, run, rows_of, here):
    write("runs/a", run(0.4))
    write("scratch/b/version_0", run(0.6))
    (here / "runs/b").symlink_to(here / "scratch/b")
    (here / "runs/same").symlink_to(here / "scratch")
    (here / "runs/a/back").symlink_to(here / "runs")  # in a circle
    (row,), notes = rows_of("runs")
    assert (sorted(found.figures["all"] for found in row.runs), notes) == ([0.4, 0.6], [])
    (row,), _ = rows_of("runs/b")
    assert row.mean("all") == 0.6


@pytest.mark.parametrize("deep", ["elsewhere", "a/b/c"])
def test_a_stage_behind_a_link_comes_with_its_pipeline_alone(write, run, pipeline, rows_of, here, deep):
    stage = {"test": {"all": 0.5}}
    write("runs/p", pipeline({"stage1": stage, "lort": stage}), "seed_everything: 0\n")
    write(deep, run(0.5))
    write("runs/p/lort", run(0.5))
    (here / "runs/p/stage1").symlink_to(here / deep)
    for folders in (("runs",), ("runs", deep), (deep, "runs")):
        rows, notes = rows_of(*folders)
        assert ([row.names.method for row in rows], notes) == (["stage1", "lort"], [])


def test_a_link_to_a_folder_above_brings_no_other_runs(write, run, rows_of, here):
    write("project/runs/a", run(0.4))
    write("project/runs/b", run(0.6))
    (here / "project/runs/a/code").symlink_to(here / "project")
    (row,), _ = rows_of("project/runs/a")
    assert [found.figures["all"] for found in row.runs] == [0.4]


@pytest.fixture
def images():
    """What records say of images, of a folder of some name."""

    def images(name, train="t", **more):
        return {"dataset": name, "hashes": {"train": train, "test": "e"}, "hash_of": "pixels"} | more

    return images


def test_the_same_images_in_folders_of_other_names_are_the_same_data(write, run, compared, rows_of, images):
    """As of jobs that copy them to a local disk."""
    for seed in range(2):
        write(f"fit/{seed}", run(0.4, seed=seed, data=images(f"job_{seed}")), "lr: 0.1\n")
        row = {"selection": "val", "settings": {"epochs": 1}, "seeds": [{"seed": seed, "accuracy": {"all": 0.5}}]}
        write(f"compare/{seed}", compared({"crt": row}) | {"data": images(f"job_{seed}")})
    rows, notes = rows_of(".")
    assert ([row.seeds for row in rows], notes) == ([[0, 1]] * 2, [])
    assert {row.names.data.partition(" ")[0] for row in rows} == {"job_0"}


def test_networks_trained_on_other_images_are_of_other_data_although_tested_on_the_same(write, run, rows_of, images):
    for seed, train in enumerate(("clean", "clean", "noisy")):
        trained_on = {"hashes": {"train": train}, "hash_of": "pixels"}
        trained = {"path": "last.ckpt", "sha256": 64 * "1", "trained_on": trained_on}
        data = images(f"job_{seed}", train=None)
        write(f"{seed}", run(0.4, seed=seed, data=data, started_from=trained), "lr: 0.1\n")
    assert [row.seeds for row in rows_of(".")[0]] == [[0, 1], [2]]


FILES = "paths and sizes of files"


@pytest.mark.parametrize("name", ["job_{}", "copied"], ids=["other names", "one name"])
def test_other_images_in_files_of_equal_names_and_sizes_are_other_data(write, run, compared, rows_of, images, name):
    """As a corrupted copy of images without compression."""
    for number, content in enumerate(("clean", "noisy")):
        data = images(name.format(number), hash_of=FILES, content={"train": content, "test": content})
        write(f"fit/{number}", run(0.4, data=data), "lr: 0.1\n")
        start = {"selection": "none", "settings": None, "seeds": [{"seed": 0, "epochs": 0, "accuracy": {"all": 0.5}}]}
        write(f"compare/{number}", compared({"stage 1": start}) | {"data": data})
    rows, notes = rows_of(".")
    assert ([len(row.runs) for row in rows], notes) == ([1] * 4, [])


def test_networks_trained_on_other_files_of_equal_names_and_sizes_are_of_other_data(write, run, rows_of, images):
    for seed, content in enumerate(("clean", "clean", "noisy")):
        trained_on = {"hashes": {"train": "t"}, "hash_of": FILES, "content": {"train": content}}
        trained = {"path": "last.ckpt", "sha256": 64 * "1", "trained_on": trained_on}
        data = images(f"job_{seed}", train=None, hash_of=FILES, content={"test": "clean"})
        write(f"{seed}", run(0.4, seed=seed, data=data, started_from=trained), "lr: 0.1\n")
    assert [row.seeds for row in rows_of(".")[0]] == [[0, 1], [2]]


def test_files_of_which_no_content_is_known_go_by_their_name(write, run, compared, rows_of, images):
    """As those of earlier versions."""
    for seed in range(2):
        data = images(f"job_{seed}", hash_of=FILES)
        write(f"fit/{seed}", run(0.4, seed=seed, data=data), "lr: 0.1\n")
        row = {"selection": "val", "settings": {"epochs": 1}, "seeds": [{"seed": seed, "accuracy": {"all": 0.5}}]}
        write(f"compare/{seed}", compared({"crt": row}) | {"data": data})
    assert [row.seeds for row in rows_of(".")[0]] == [[0], [0], [1], [1]]


def test_data_of_which_no_images_are_known_go_by_their_name(write, run, rows_of):
    for name in ("one", "other"):
        write(name, run(0.4, data={"dataset": name}), "lr: 0.1\n")
    assert len(rows_of(".")[0]) == 2


def test_a_mean_over_checkpoints_is_said(write, compared, rows_of):
    for number in range(5):
        seeds = [{"seed": 0, "accuracy": {"all": 0.1 * number}}]
        write(
            f"c{number}",
            compared({"lort": {"selection": "val", "seeds": seeds}}, f"model{number}.pth", 64 * str(number)),
        )
    (row,), notes = rows_of(".")
    assert len(row.runs) == 5
    assert notes == [
        "rows of compare are means over 5 checkpoints (model0.pth (00000000), model1.pth (11111111), model2.pth "
        "(22222222) and 2 more); give the runs of one to see it alone."
    ]
    assert rows_of("c1")[1] == []


def test_checkpoints_of_one_name_are_told_apart_by_their_content(write, compared, rows_of):
    lort = {"selection": "val", "seeds": [{"seed": 0, "accuracy": {"all": 0.5}}]}
    for name, content in (("a", "1" * 64), ("b", "2" * 64), ("c", "2" * 64)):
        write(name, compared({"lort": lort}, path="last.ckpt", sha256=content))
    (row,), notes = rows_of("a", "b", "c")
    assert len(row.runs) == 2
    assert notes == [
        "1 runs were done again with the same configuration and seed; the last one counts.",
        "rows of compare are means over 2 checkpoints (last.ckpt (11111111), last.ckpt (22222222)); give the runs of "
        "one to see it alone.",
    ]


def test_a_checkpoint_of_several_names_is_one(write, compared, rows_of):
    for seed, path in enumerate(("last.ckpt", "/runs/last.ckpt")):
        seeds = [{"seed": seed, "accuracy": {"all": 0.5}}]
        write(f"{seed}", compared({"lort": {"selection": "val", "seeds": seeds}}, path=path))
    (row,), notes = rows_of(".")
    assert (row.seeds, notes) == ([0, 1], [])


def test_what_each_comparison_has_is_not_said_to_be_done_again(write, compared, rows_of):
    """Other methods on a checkpoint bring stage 1 and the oracle again, and what nothing trains is always the same."""

    def row(epochs):
        return {"selection": "none", "seeds": [{"seed": 0, "epochs": epochs, "accuracy": {"all": 0.5}}]}

    always = {"stage 1": row(0), "oracle": row(2), "tau_norm": row(0)}
    write("a", compared(always | {"lort": row(2)}))
    write("b", compared(always | {"crt": row(2)}))
    rows, notes = rows_of("a", "b")
    assert {one.names.method: len(one.runs) for one in rows} == dict.fromkeys([*always, "lort", "crt"], 1)
    assert notes == []
    write("c", compared(always | {"crt": row(2)}))
    assert rows_of(".")[1] == ["1 runs were done again with the same configuration and seed; the last one counts."]
