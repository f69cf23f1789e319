"""fit, validate, test and predict, typed as a user would."""

import csv
import hashlib
import json
import math
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml
from full_disk import output_without_room

from lt_lightning import predict
from lt_lightning.errors import UsageError
from lt_lightning.main import LTCLI, main
from lt_lightning.same_run import RUN


def results(folder):
    (path,) = folder.rglob("results.json")
    return json.loads(path.read_text()), path.parent


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_fit_leaves_results_configuration_and_checkpoint(here, tiny, capsys):
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=2"))
    record, folder = results(here)
    assert folder == here / "runs" / "RepresentationModule" / "version_0"
    json.loads((folder / "results.json").read_text(), parse_constant=refuse)
    assert {"config.yaml", "results.json", "checkpoints", "metrics.csv"} <= {path.name for path in folder.iterdir()}
    assert (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
    )  # the last, validated or not
    assert record["class_counts"] == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    assert record["epochs"] == 3
    assert record["steps"] == 3 * math.ceil(276 / 64)
    assert record["seed"] == 0
    assert record["config_sha256"] == hashlib.sha256((folder / "config.yaml").read_bytes()).hexdigest()
    assert record["training_images_per_second"] > 0
    assert set(record["data"]["hashes"]) == {"train", "val"}
    validation = record["evaluation"]["val"]
    assert validation["group_sizes"] == {"many": 3, "medium": 3, "few": 4}
    groups = {"all", "many", "medium", "few"}
    assert set(validation["accuracy"]) == groups | {"micro", "harmonic", "geometric", "worst", "top3", "top5"}
    assert set(validation["calibration"]["ece"]) == groups
    assert len(validation["per_class"]["weight_norm"]) == 10
    assert sum(validation["per_class"]["total"]) == 200
    assert "few (<8)" in capsys.readouterr().out


def test_without_a_logger_nothing_is_written(here, tiny):
    options = ("--trainer.max_epochs=1", "--trainer.logger=false", "--trainer.enable_checkpointing=false")
    main(tiny("fit", "RepresentationModule", *options))
    assert list(here.iterdir()) == []


def test_without_a_logger_each_run_keeps_its_checkpoint(here, tiny):
    for _ in range(2):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--trainer.logger=false"))
    runs = here / "runs" / "RepresentationModule"
    assert sorted(path for path in here.rglob("*") if path.is_file()) == [
        runs / f"version_{number}" / "checkpoints" / "last.ckpt" for number in range(2)
    ]


@pytest.mark.filterwarnings("ignore:.* directory .* exists and is not empty")  # where it goes on
@pytest.mark.parametrize("kind", [("CSVLogger",), ("TensorBoardLogger",), ("TensorBoardLogger", ".sub_dir=tb")])
def test_a_logger_of_a_fixed_version_replaces_no_earlier_run(here, tiny, kind):
    options = ("=" + kind[0], ".save_dir=mine", ".name=a", *kind[1:])
    logger = [f"--trainer.logger{option}" for option in options]
    fixed = tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *logger, "--trainer.logger.version=0")
    main(fixed)
    folder = here / "mine" / "a" / "version_0"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"last.ckpt", "results.json"} <= {path.name for path in before}
    with pytest.raises(UsageError, match=r"'mine.a.version_0' of `trainer.logger` holds the 'checkpoints/last.ckpt'"):
        main([*fixed, "--seed_everything=1"])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    shutil.copy(folder / "checkpoints" / "last.ckpt", here / "copy.ckpt")
    main([*fixed, "--trainer.max_epochs=2", "--ckpt_path=copy.ckpt"])
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1
    for _ in range(2):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *logger))
    assert {path.name for path in folder.parent.iterdir()} == {"version_0", "version_1", "version_2"}


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("fit", r"leave the logger's `version` out, or go on with that run by `--ckpt_path`\.$"),
        *((command, r"leave the logger's `version` out\.$") for command in ("validate", "test", "predict")),
    ],
)
def test_no_command_writes_over_another_run_in_a_logger_of_a_fixed_version(here, tiny, stage1, command, advice):
    folder = here / "mine" / "a" / "version_0"
    (folder / "checkpoints").mkdir(parents=True)
    kept = folder / "checkpoints" / stage1.name
    torch.save(torch.load(stage1, weights_only=True) | {RUN: "another"}, kept)
    # Training goes on only from a checkpoint of that folder; whatever is evaluated, what is written there is new.
    path = stage1 if command == "fit" else kept
    logger = ("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=mine", "--trainer.logger.name=a")
    options = (*logger, "--trainer.logger.version=0", f"--ckpt_path={path}")
    length = ("--trainer.max_epochs=3",) if command == "fit" else ()
    run = predict.main if command == "predict" else main
    with pytest.raises(UsageError, match=rf"'checkpoints/last.ckpt' of an earlier run, .*; {advice}"):
        run(tiny(command, "RepresentationModule", *length, *options))
    assert [entry for entry in here.rglob("*") if entry.is_file()] == [kept]


def test_a_logger_without_a_folder_of_the_run_stands_beside_ours(here, tiny, monkeypatch):
    """Those of services have one folder for all runs, where each would write over the results of the one before."""
    (here / "my_logger.py").write_text(
        "from lightning.pytorch.loggers.logger import DummyLogger\n"
        "class Service(DummyLogger):\n"
        "    logged = []\n"
        "    save_dir = '.'\n"
        "    def log_metrics(self, metrics, step=None):\n"
        "        self.logged.append(dict(metrics))\n"
    )
    monkeypatch.syspath_prepend(here)
    for _ in range(2):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--trainer.logger=my_logger.Service"))
    runs = here / "runs" / "RepresentationModule"
    for number in range(2):
        kept = {path.name for path in (runs / f"version_{number}").iterdir()}
        assert {"config.yaml", "results.json", "checkpoints", "metrics.csv"} <= kept
    import my_logger

    assert any("val/all" in metrics for metrics in my_logger.Service.logged)
    assert not (here / "results.json").exists()


def test_every_epoch_may_be_saved_beside_the_last(here, tiny):
    every = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k=-1")
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=2", *every))
    found = {path.name: path for path in here.rglob("*.ckpt")}
    assert set(found) == {"epoch=0-step=5.ckpt", "epoch=1-step=10.ckpt", "last.ckpt"}
    # Lightning would advise to add what saved them, of which a test makes no use.
    main(tiny("test", "RepresentationModule", f"--ckpt_path={found['last.ckpt']}"))


def test_checkpoints_are_written_in_the_runs_folder_and_not_moved_there(here, tiny, monkeypatch):
    monkeypatch.setattr("shutil.move", lambda *_: pytest.fail("from another file system this is a copy"))
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))
    assert list(here.glob("runs/*/version_0/checkpoints/*")) == list(
        here.glob("runs/*/version_0/checkpoints/last.ckpt")
    )


@pytest.mark.parametrize("options", [("--trainer.barebones=true",), ("--trainer.fast_dev_run=true",)])
def test_a_trial_or_a_bare_run_leaves_nothing(here, tiny, stage1, options):
    before = sorted(here.rglob("*"))
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *options))
    main(tiny("test", "RepresentationModule", f"--ckpt_path={stage1}", *options))
    assert sorted(here.rglob("*")) == before


def test_callbacks_may_ask_a_trial_for_a_logger(here, tiny):
    options = ("--trainer.fast_dev_run=true", "--trainer.callbacks+=LearningRateMonitor")
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *options))
    assert not list(here.rglob("results.json"))  # a trial leaves nothing


def test_a_bar_of_the_users_takes_the_place_of_ours(here, tiny, capsys):
    arguments = tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--trainer.callbacks+=TQDMProgressBar")
    main([word for word in arguments if not word.startswith("--trainer.enable_progress_bar")])
    assert "Epoch 0: 100%" in "".join(capsys.readouterr())


def test_a_timer_is_written_into_the_configuration(here, tiny):
    timer = ("--trainer.callbacks+=Timer", "--trainer.callbacks.duration=00:01:00:00")
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *timer))
    (written,) = here.rglob("config.yaml")
    main(["fit", "-c", str(written)])
    replayed = [yaml.safe_load(path.read_text())["trainer"] for path in here.rglob("config.yaml")]
    assert replayed[0] == replayed[1]
    assert any(callback["class_path"].endswith("Timer") for callback in replayed[0]["callbacks"])


def test_a_second_run_keeps_the_first(here, tiny):
    for _ in range(2):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))
    assert sorted(path.parent.name for path in here.rglob("results.json")) == ["version_0", "version_1"]


def test_saved_configuration_replays_to_the_same_figures(here, tiny):
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--seed_everything=3"))
    config = here / "runs/RepresentationModule/version_0/config.yaml"
    main(["fit", "-c", str(config)])
    first, second = (json.loads(path.read_text()) for path in sorted(here.rglob("results.json")))
    assert first["evaluation"] == second["evaluation"]
    assert first["seed"] == second["seed"] == 3


def test_stage2_from_our_checkpoint_and_what_it_prints(here, tiny, stage1, capsys):
    main(
        tiny("fit", "RetrainModule", f"--model.checkpoint={stage1}", "--model.loss=LORTLoss", "--trainer.max_epochs=1")
    )
    printed = capsys.readouterr().out
    assert "18 of 18 backbone tensors matched" in printed
    record, folder = results(here)
    assert record["checkpoint"] == str(stage1)
    assert record["bn_mode"] == "eval"
    assert record["loss"] == "LORTLoss"
    # `test` on the stage-2 checkpoint gives what the module gave, also when the stage-1 file has gone.
    main(tiny("test", "RetrainModule", "--model.checkpoint=gone.ckpt", f"--ckpt_path={folder}/checkpoints/last.ckpt"))
    tested = json.loads((here / "runs/RetrainModule/version_1/results.json").read_text())
    assert sum(tested["evaluation"]["test"]["per_class"]["total"]) == 500


@pytest.mark.parametrize("head", ["TauNormHead", "LogitAdjustmentHead"])
def test_training_free_heads_are_tested_and_validated(here, tiny, stage1, head):
    for command in ("test", "validate"):
        main(tiny(command, "RetrainModule", f"--model.checkpoint={stage1}", f"--model.head={head}"))
    assert [set(json.loads(path.read_text())["evaluation"]) for path in sorted(here.rglob("results.json"))] == [
        {"test"},
        {"val"},
    ]


def test_predict_writes_every_image_in_order(here, tiny, stage1):
    main(tiny("predict", "RepresentationModule", f"--ckpt_path={stage1}", "--data.eval_batch_size=64"))
    (path,) = here.rglob("predictions.csv")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:5] == ["position", "target", "class_1", "index_1", "probability_1"]
    assert [int(row[0]) for row in rows[1:]] == list(range(500))
    for row in rows[1:]:
        probabilities = [float(value) for value in row[4::3]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 5
    main(tiny("test", "RepresentationModule", f"--ckpt_path={stage1}"))
    micro = results(here)[0]["evaluation"]["test"]["accuracy"]["micro"]
    assert sum(row[1] == row[2] for row in rows[1:]) / 500 == pytest.approx(micro)


def test_print_config_shows_defaults_and_needs_no_data(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", "cifar100_lt/lort", "--data.imbalance_ratio=50", "--data.root=nowhere", "--print_config"])
    assert stop.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["data"]["init_args"]["imbalance_ratio"] == 50
    assert config["model"]["init_args"]["loss"]["init_args"]["delta"] == 0.98
    assert config["trainer"]["max_epochs"] == 20


def test_parts_of_ones_own_plug_in_by_import_path(here, tiny, monkeypatch):
    (here / "mine.py").write_text(
        "import torch\n"
        "from lt_lightning.heads import Head\n"
        "class HalfHead(Head):\n"
        "    def __init__(self, in_features: int, class_counts: list[int], scale: float = 0.5) -> None:\n"
        "        super().__init__(in_features, class_counts)\n"
        "        self.scale = scale\n"
        "        self.weight = torch.nn.Parameter(torch.zeros(self.num_classes, in_features))\n"
        "    def forward(self, features):\n"
        "        return self.scale * features @ self.weight.T\n"
    )
    monkeypatch.syspath_prepend(here)
    options = ("--model.head=mine.HalfHead", "--model.head.scale=2", "--trainer.max_epochs=1")
    main(tiny("fit", "RepresentationModule", *options))
    assert results(here)[0]["head"] == "HalfHead"


def test_null_is_no_augmentation(here, tiny):
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--data.augmentation=null"))
    assert results(here)[0]["augmentation"]["class"].endswith("NoAugmentation")


def test_cli_in_python_makes_without_running(here):
    made = LTCLI(
        {"model": {"class_path": "RepresentationModule", "init_args": {"backbone": "SmallCNN"}}, "data": "DigitsLT"},
        run=False,
    )
    assert made.model.class_counts == made.datamodule.class_counts
    assert made.model.group_thresholds == made.datamodule.group_thresholds


@pytest.mark.parametrize("kind", ["folder", "list"])
def test_a_folder_of_images_from_training_to_predictions(here, folder_root, list_root, kind):
    data = {
        "folder": ("--data=ImageFolderLT", f"--data.root={folder_root}"),
        "list": (
            "--data=ImageListLT",
            f"--data.root={list_root}",
            *(f"--data.{split}_list={list_root}/{split}.txt" for split in ("train", "val", "test")),
        ),
    }[kind]
    common = ("--model.backbone=SmallCNN", "--model.backbone.in_channels=3", "--trainer.enable_progress_bar=false")
    small = ("--data.image_size=16", "--data.num_workers=0", "--data.batch_size=4", "--data.group_thresholds=[3,5]")
    main(["fit", "--model=RepresentationModule", *common, *data, *small, "--trainer.max_epochs=1"])
    (checkpoint,) = here.rglob("last.ckpt")
    stage2 = ("--model=RetrainModule", f"--model.checkpoint={checkpoint}", *common, *data, *small)
    main(["fit", *stage2, "--model.loss=LORTLoss", "--trainer.max_epochs=1"])
    record = json.loads((here / "runs/RetrainModule/version_0/results.json").read_text())
    assert record["class_counts"] == {"folder": [9, 4, 2], "list": [3, 7, 2]}[kind]
    assert sum(record["evaluation"]["val"]["per_class"]["total"]) == 3
    main(["predict", *stage2])
    (path,) = here.rglob("predictions.csv")
    assert len(path.read_text().splitlines()) == 1 + {"folder": 6, "list": 3}[kind]


def test_help_is_without_lightnings_second_table(capsys):
    with pytest.raises(SystemExit):
        main(["validate", "--help"])
    assert "--verbose" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "{fit,validate,test,predict}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [(["--trainer.precision=null"], "bf16-mixed"), (["--trainer.precision=32-true"], "32-true")],
)
def test_training_is_in_the_precision_the_device_is_fastest_in(monkeypatch, here, capsys, tiny, options, expected):
    monkeypatch.setattr("lt_lightning.devices.choice.fastest_precision", lambda accelerator: "bf16-mixed")
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *options))
    (path,) = here.rglob("results.json")
    assert json.loads(path.read_text())["environment"]["precision"] == expected
    assert ("training in bf16-mixed; `--trainer.precision 32-true`" in capsys.readouterr().out) == (
        expected == "bf16-mixed"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [([], True), (["--trainer.benchmark=false"], False), (["--trainer.deterministic=warn"], False)],
)
def test_convolutions_are_chosen_by_measuring_unless_runs_are_to_be_equal(monkeypatch, here, tiny, options, expected):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *options))
    finally:
        torch.use_deterministic_algorithms(deterministic)
    assert torch.backends.cudnn.benchmark is expected


INTERRUPTS = """
import signal
from lightning.pytorch import Callback

class Interrupts(Callback):
    def __init__(self, signal: int):
        self.signal = signal

    def on_train_batch_start(self, trainer, *_):
        if trainer.current_epoch == 1:
            signal.raise_signal(self.signal)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_says_what_is_left(here, tiny, monkeypatch, number):
    (here / "interrupts.py").write_text(INTERRUPTS)
    monkeypatch.syspath_prepend(here)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    callback = ("--trainer.callbacks=interrupts.Interrupts", f"--trainer.callbacks.signal={int(number)}")
    with pytest.raises(UsageError, match=r"^Interrupted: `[^`]*` holds the last epoch that was saved; ") as refused:
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", *callback))
    (last,) = here.rglob("last.ckpt")
    assert Path(str(refused.value).split("`")[1]).resolve() == last
    assert torch.load(last, weights_only=True)["epoch"] == 0
    assert {number: signal.getsignal(number) for number in before} == before


def test_an_interrupted_run_that_was_resumed_names_the_file_that_is_there(here, tiny, monkeypatch):
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))
    (made,) = here.rglob("last.ckpt")
    kept = made.rename(here / "kept.ckpt")
    (here / "interrupts_later.py").write_text(INTERRUPTS)
    monkeypatch.syspath_prepend(here)
    callback = ("--trainer.callbacks=interrupts_later.Interrupts", f"--trainer.callbacks.signal={int(signal.SIGINT)}")
    with pytest.raises(UsageError, match=rf"^Interrupted: `{kept}` holds the last epoch that was saved; "):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", f"--ckpt_path={kept}", *callback))


def test_an_interrupted_run_that_has_saved_nothing_says_so(here, tiny, monkeypatch):
    (here / "interrupts_at_once.py").write_text(INTERRUPTS.replace("== 1", "== 0"))
    monkeypatch.syspath_prepend(here)
    callback = ("--trainer.callbacks=interrupts_at_once.Interrupts", f"--trainer.callbacks.signal={int(signal.SIGINT)}")
    with pytest.raises(UsageError, match=r"^Interrupted: no epoch has been saved; run the same command again\.$"):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=3", *callback))


FULL = """
import torch
from lightning.pytorch import Callback

class Full(Callback):
    def on_validation_batch_start(self, *_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
"""


def test_memory_that_is_short_as_a_training_validates_names_both_sizes(here, tiny, monkeypatch):
    (here / "full.py").write_text(FULL)
    monkeypatch.syspath_prepend(here)
    sentence = r"^The GPU's memory is short; take a smaller `data\.batch_size` or `data\.eval_batch_size`, or ask "
    with pytest.raises(UsageError, match=sentence):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--trainer.callbacks=full.Full"))


@pytest.mark.parametrize("command", ["test", "validate"])
def test_results_that_are_written_are_named_though_nothing_can_be_printed(here, tiny, stage1, command):
    sentence = r"^No space left on device; make room there\. The results are in `[^`]*results\.json`\.$"
    with pytest.raises(UsageError, match=sentence) as refused, output_without_room():
        main(tiny(command, "RepresentationModule", f"--ckpt_path={stage1}"))
    (path,) = here.rglob("results.json")
    assert Path(str(refused.value).split("`")[1]).resolve() == path
