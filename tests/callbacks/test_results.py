"""results.json."""

import hashlib
import json
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger

from lt_lightning.callbacks import DRW, LinearWarmup, NegativeDistraction, ResultsWriter, WeightEMA
from lt_lightning.mixing import Mixup
from lt_lightning.modules import RetrainModule


def read(folder):
    return json.loads((folder / "results.json").read_text())


def logging_to(folder):
    return CSVLogger(folder, name="", version="")


def test_the_record_of_training_then_testing(tmp_path, trainer, digits, stage1_module, capsys):
    data = digits()
    module = stage1_module(data, flip_average=True)
    run = trainer(max_epochs=2, logger=logging_to(tmp_path), callbacks=[ResultsWriter("mine", seed=3)])
    run.fit(module, datamodule=data)
    record = read(tmp_path)
    assert record["environment"]["processes"] == 1
    assert record["environment"]["precision"] == "32-true"
    assert record["job"]["host"]
    assert record["preset"] == "mine"
    assert record["seed"] == 3
    assert (record["model"], record["backbone"]) == ("RepresentationModule", "SmallCNN")
    assert (record["head"], record["loss"], record["sampler"]) == ("LinearHead", "CrossEntropyLoss", "InstanceSampler")
    assert (record["checkpoint"], record["bn_mode"]) == (None, None)
    assert record["augmentation"] == {"class": "lt_lightning.augmentations.base.NoAugmentation"}
    assert record["class_counts"] == data.class_counts
    assert record["class_names"] == list("0123456789")
    assert record["group_thresholds"] == [8, 30]
    assert record["data"] == data.describe_split()
    assert (record["epochs"], record["steps"]) == (2, 10)
    assert set(record["evaluation"]) == {"val"}
    second_epoch = 276 / record["training_images_per_second"]
    assert 0 < record["seconds"]["first_step"] < record["seconds"]["first_epoch"]
    assert record["seconds"]["first_epoch"] + second_epoch < record["seconds"]["fit"]
    assert (record["channels_last"], record["compile"], record["tf32"]) == (False, "none", True)
    printed = capsys.readouterr().out
    assert printed.count("LinearHead") == 1
    assert "validation accuracy, last epoch" in printed
    assert f"written to {tmp_path}/results.json" in printed.replace("\n", "")

    (tmp_path / "config.yaml").write_text("a: 1\n")
    run.test(module, datamodule=data, verbose=False)
    record = read(tmp_path)
    assert record["config_sha256"] == hashlib.sha256(b"a: 1\n").hexdigest()
    assert set(record["evaluation"]) == {"val", "test"}
    assert record["evaluation"]["test"]["test_time_averaging"] == "flip"
    accuracy, calibration = (record["evaluation"]["test"][name] for name in ("accuracy", "calibration"))
    means = {"all", "many", "medium", "few", "micro", "harmonic", "geometric", "worst"}
    assert set(accuracy) == means | {"top3", "top5"}
    assert accuracy["all"] < accuracy["top3"] < accuracy["top5"] < 1
    assert accuracy["worst"] <= accuracy["harmonic"] <= accuracy["geometric"] <= accuracy["all"]
    assert set(calibration["ece"]) == {"all", "many", "medium", "few"}
    assert 0 < calibration["ece"]["all"] < 1
    assert sum(calibration["bins"]["images"]) == 500
    right = sum(n * a for n, a in zip(calibration["bins"]["images"], calibration["bins"]["accuracy"], strict=True) if n)
    assert right == pytest.approx(500 * accuracy["micro"])
    assert record["diagnostics"] == {}
    assert set(record["seconds"]) == {"first_step", "first_epoch", "fit", "test"}
    assert record["data"]["sizes"] == {"train": 276, "val": 200, "test": 500}
    assert "test accuracy " in capsys.readouterr().out


def test_validation_alone_leaves_a_record_and_prints_nothing_if_told(tmp_path, trainer, digits, stage1_module, capsys):
    data = digits()
    run = trainer(logger=logging_to(tmp_path), callbacks=[ResultsWriter(print_table=False)])
    run.validate(stage1_module(data), datamodule=data, verbose=False)
    record = read(tmp_path)
    assert set(record["evaluation"]) == {"val"}
    assert record["epochs"] == record["steps"] == 0
    assert record["training_images_per_second"] is None
    assert record["config_sha256"] is None
    assert list(record["seconds"]) == ["validate"]
    assert capsys.readouterr().out == ""


def test_groups_without_classes_are_null(tmp_path, trainer, digits, stage1_module):
    data = digits(group_thresholds=(2, 100))
    run = trainer(logger=logging_to(tmp_path), callbacks=[ResultsWriter()])
    run.validate(stage1_module(data), datamodule=data, verbose=False)
    evaluation = read(tmp_path)["evaluation"]["val"]
    assert evaluation["group_sizes"] == {"many": 0, "medium": 10, "few": 0}
    assert evaluation["accuracy"]["many"] is None
    assert evaluation["accuracy"]["medium"] == evaluation["accuracy"]["all"]


def test_mixing_and_schedules_are_recorded(tmp_path, trainer, digits, stage1_module):
    data = digits()
    for folder, options, schedules in (
        ("a", {}, [NegativeDistraction()]),
        ("b", {"mixing": Mixup}, [DRW(start=0.5), LinearWarmup(2), WeightEMA()]),
    ):
        run = trainer(logger=logging_to(tmp_path / folder), callbacks=[ResultsWriter(), *schedules])
        run.fit(stage1_module(data, **options), datamodule=data)
    records = [read(tmp_path / folder) for folder in "ab"]
    assert [record["mixing"] for record in records] == ["NoMixing", "Mixup"]
    assert [record["schedules"] for record in records] == [[], ["DRW", "LinearWarmup", "WeightEMA"]]


@pytest.mark.filterwarnings("ignore:When using `Trainer.accumulate_grad_batches")
def test_lightnings_own_callbacks_that_change_what_is_learnt_are_recorded(tmp_path, trainer, digits, stage1_module):
    data = digits()
    theirs = [GradientAccumulationScheduler({0: 2}), StochasticWeightAveraging(0.01)]
    trainer(logger=logging_to(tmp_path), callbacks=[ResultsWriter(), *theirs]).fit(stage1_module(data), datamodule=data)
    assert read(tmp_path)["schedules"] == ["GradientAccumulationScheduler", "StochasticWeightAveraging"]


def test_the_batch_size_is_that_which_was_trained_with(tmp_path, trainer, digits, stage1_module):
    data = digits()
    finder = BatchSizeFinder(init_val=8, max_trials=2, steps_per_trial=1)
    options = {"default_root_dir": tmp_path, "enable_checkpointing": True}
    run = trainer(logger=logging_to(tmp_path), callbacks=[ResultsWriter(), finder], **options)
    run.fit(stage1_module(data), datamodule=data)
    assert read(tmp_path)["batch_size"] == finder.optimal_batch_size == 16


def test_a_fast_dev_run_leaves_nothing(here, trainer, digits, stage1_module):
    data = digits()
    options = {"fast_dev_run": True, "default_root_dir": here, "callbacks": [ResultsWriter()]}
    trainer(**options).fit(stage1_module(data), datamodule=data)
    trainer(**options).test(stage1_module(data), datamodule=data, verbose=False)
    assert list(here.rglob("*")) == []


def test_a_run_resumed_within_an_epoch_has_a_credible_speed(tmp_path, trainer, digits, stage1_module):
    data = digits()
    first, second = (ModelCheckpoint(tmp_path / name, filename="{step}", every_n_train_steps=3) for name in "ab")
    trainer(callbacks=[first], enable_checkpointing=True).fit(stage1_module(data), datamodule=data)
    data = digits()
    run = trainer(logger=logging_to(tmp_path / "run"), callbacks=[ResultsWriter(), second], enable_checkpointing=True)
    run.fit(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "a/step=3.ckpt")
    record = read(tmp_path / "run")
    images = 276 - 4 * 64  # three steps before, and the first after it, which has a time of its own
    assert 0 < images / record["training_images_per_second"] < record["seconds"]["fit"]
    assert record["steps"] == 5


def test_a_checkpoint_tested_later_is_as_old_as_it_was(tmp_path, trainer, digits, stage1_module):
    data = digits()
    run = trainer(max_epochs=3)
    run.fit(stage1_module(data), datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    run = trainer(logger=logging_to(tmp_path / "run"), callbacks=[ResultsWriter()])
    run.test(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "x.ckpt", verbose=False)
    record = read(tmp_path / "run")
    assert record["epochs"] == record["evaluation"]["test"]["epoch"] == 3


def test_the_file_that_weights_came_from_is_known_by_its_content(tmp_path, trainer, digits, stage1_module):
    data = digits()
    files = [tmp_path / "stage1.ckpt", tmp_path / "stage2.ckpt"]

    def run(name):
        return trainer(logger=logging_to(tmp_path / name), callbacks=[ResultsWriter(print_table=False)])

    def stage2():
        backbone = stage1_module(data).backbone
        return RetrainModule(data.class_counts, str(files[0]), backbone, group_thresholds=data.group_thresholds)

    first, second, module = run("stage1"), run("stage2"), stage2()
    first.fit(stage1_module(data), datamodule=data)
    first.save_checkpoint(files[0])
    second.fit(module, datamodule=data)
    second.save_checkpoint(files[1])
    second.test(module, datamodule=data, verbose=False)  # of weights that came from nowhere else
    run("validated").validate(stage2(), datamodule=data, verbose=False)
    run("tested").test(stage2(), datamodule=data, ckpt_path=files[1], verbose=False)
    one, other = ({"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()} for file in files)
    found = [read(tmp_path / name)["started_from"] for name in ("stage1", "stage2", "validated", "tested")]
    images = read(tmp_path / "stage2")["data"]["hashes"]
    trained_on = {"hashes": {name: images[name] for name in ("train", "val")}, "hash_of": "pixels"}
    tested = {**other, "trained_on": trained_on, "preset": "", "seed": None, "settings": None}
    assert found == [None, one, one, tested]
    files[0].unlink()
    run("later").test(stage2(), datamodule=data, ckpt_path=files[1], verbose=False)
    found = [read(tmp_path / name)["stage1"] for name in ("stage1", "stage2", "validated", "tested", "later")]
    assert found == [None, one, one, one, one]  # what was retrained, whoever tests it, and wherever it is now


@pytest.mark.parametrize("epochs", [1, 2])
def test_validation_within_training_writes_nothing_of_its_own(tmp_path, trainer, digits, stage1_module, epochs):
    data = digits()
    written = []

    class Counting(ResultsWriter):
        def record(self, *args):
            written.append(args)
            return super().record(*args)

    run = trainer(max_epochs=epochs, logger=logging_to(tmp_path), callbacks=[Counting()])
    run.fit(stage1_module(data), datamodule=data)
    assert len(written) == 1


def test_weights_chosen_on_validation_images_are_not_called_the_last_epochs(tmp_path, trainer, digits, stage1_module):
    data, options = digits(), {"enable_checkpointing": True, "logger": logging_to(tmp_path)}
    kept = ModelCheckpoint(tmp_path, "best", monitor="val/all", mode="max")
    last = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    module = stage1_module(data)
    writer = ResultsWriter(print_table=False)
    trainer(max_epochs=2, callbacks=[writer, kept, last], **options).fit(module, datamodule=data)
    assert read(tmp_path)["selection"] == "none: the weights of the last epoch"
    for name, chosen in (("best", "val: the epoch that ModelCheckpoint kept by val/all"), ("last", "none: ")):
        tester = trainer(callbacks=[writer, kept, last], **options)
        tester.test(module, datamodule=data, ckpt_path=tmp_path / f"{name}.ckpt", verbose=False)
        assert read(tmp_path)["selection"].startswith(chosen)


def test_a_run_that_validation_figures_ended_says_so(tmp_path, trainer, digits, stage1_module):
    data, writer = digits(), ResultsWriter(print_table=False)
    stopping = EarlyStopping("val/all", patience=1, mode="max", min_delta=1.0)
    keep = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    options = {"enable_checkpointing": True, "logger": logging_to(tmp_path)}
    module = stage1_module(data)
    trainer(max_epochs=9, callbacks=[stopping, writer, keep], **options).fit(module, datamodule=data)
    record = read(tmp_path)
    assert record["epochs"] < 9
    assert record["selection"] == "val: the epoch that EarlyStopping ended at by val/all"
    fresh = EarlyStopping("val/all", mode="max")
    tester = trainer(callbacks=[fresh, writer, keep], **options)
    tester.test(module, datamodule=data, ckpt_path=tmp_path / "last.ckpt", verbose=False)
    assert read(tmp_path)["selection"] == record["selection"]


def test_the_clock_of_training_waits_for_a_gpu(monkeypatch):
    """A process may be many steps ahead of it: without that an epoch would seem to take no time."""
    clock = [0.0]

    def finish(device):
        clock[0] += 1.5

    monkeypatch.setattr("lt_lightning.callbacks.results.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(torch.cuda, "synchronize", finish)
    writer, run = ResultsWriter(), SimpleNamespace(world_size=2)
    module = SimpleNamespace(device=torch.device("cuda", 0))
    writer.on_train_epoch_start(run, module)
    for _ in range(3):
        writer.on_train_batch_end(run, module, None, (None, [0] * 4))
    writer.on_train_epoch_end(run, module)
    assert writer.seconds == {"first_step": 1.5, "first_epoch": 3.0}
    assert clock[0] == 3.0  # once for the first step and once for the epoch
    assert writer._epochs == [(16, 1.5)]  # images of both processes, in two steps after the first


def test_only_training_counts_and_of_it_what_a_first_epoch_compiles_apart(
    tmp_path, monkeypatch, trainer, digits, stage1_module
):
    """The clock stands still while it validates, and a graph is made of each size of batch: of the last one's, too."""
    clock = [0.0]
    monkeypatch.setattr("lt_lightning.callbacks.results.time.perf_counter", lambda: clock[0])

    class Slow(Callback):
        compiled = ()

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            clock[0] += 1.0 if len(batch[1]) in self.compiled else 30.0
            self.compiled = (*self.compiled, len(batch[1]))

        def on_validation_batch_end(self, *_):
            clock[0] += 100.0

    data, options = digits(), {"logger": logging_to(tmp_path), "num_sanity_val_steps": 1}
    run = trainer(max_epochs=3, callbacks=[Slow(), ResultsWriter(print_table=False)], **options)
    run.fit(stage1_module(data), datamodule=data)
    record = read(tmp_path)
    assert (record["seconds"]["first_step"], record["seconds"]["first_epoch"]) == (30.0, 63.0)
    assert record["training_images_per_second"] == 276 / 5.0  # of five steps


def test_a_checkpoint_says_how_it_was_trained_to_whoever_tests_it(tmp_path, trainer, digits, stage1_module):
    data, settings = digits(), {"trainer": {"max_epochs": 1}}
    writer = ResultsWriter("mine", seed=5, print_table=False, settings=settings)
    run = trainer(logger=logging_to(tmp_path / "fit"), callbacks=[writer])
    run.fit(stage1_module(data), datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    tester = trainer(logger=logging_to(tmp_path / "test"), callbacks=[ResultsWriter("other", print_table=False)])
    tester.test(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "x.ckpt", verbose=False)
    tester.save_checkpoint(tmp_path / "y.ckpt")  # of a process that has trained nothing
    assert "lt_lightning_training" not in torch.load(tmp_path / "y.ckpt", weights_only=True)
    record = read(tmp_path / "test")
    expected = {"preset": "mine", "seed": 5, "settings": settings}
    assert {key: record["started_from"][key] for key in expected} == expected
    assert (record["preset"], record["seed"]) == ("other", 5)
    assert record["transform"] == read(tmp_path / "fit")["transform"]
    assert set(record["transform"]) == {"class", "mean", "std"}
