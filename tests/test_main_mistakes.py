"""What fit, validate, test and predict refuse, in one sentence and before anything trains."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from lt_lightning.backbones import Backbone
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.main import main
from lt_lightning.modules import RepresentationModule
from lt_lightning.predict import main as predict


def results(folder):
    (path,) = folder.rglob("results.json")
    return json.loads(path.read_text())


class Unbegun(RepresentationModule):
    """Hands nothing on."""

    def __init__(self, *args: Any, weight: float = 0.5, **options: Any) -> None:
        self.weight = weight


class LateBackbone(Backbone):
    def __init__(self) -> None:
        self.layer = nn.Flatten()
        self.num_features = 64

    def forward(self, images):
        return self.layer(images)


class UnbegunData(DigitsLT):
    def __init__(self, width: int = 1) -> None:
        self.width = width

    @property
    def class_counts(self):
        return [3, 2]

    @property
    def class_names(self):
        return ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model=Unbegun", "--data=DigitsLT"), r"^`model` Unbegun must begin .*`super\(\).__init__\(\*args, \*\*opt"),
        (
            ("--model=Unbegun", "--model.backbone=SmallCNN", "--data=DigitsLT"),
            r"^`model.backbone` is no option of Unbegun \(RepresentationModule has it, but `__init__` of Unbegun ",
        ),
        (
            ("--model=RepresentationModule", "--model.backbone=LateBackbone", "--data=DigitsLT"),
            r"^LateBackbone, or a module in it, must begin its `__init__` with `super\(\).__init__",
        ),
        (
            ("--model=RepresentationModule", "--model.backbone=SmallCNN", "--data=UnbegunData"),
            r"^`data` UnbegunData must begin its `__init__` with `super\(\).__init__\(\*\*options\)`",
        ),
    ],
)
def test_a_part_that_has_left_its_base_out_is_named(here, arguments, sentence):
    ours = [re.sub("=(?=Unbegun|Late)", f"={__name__}.", argument) for argument in arguments]
    with pytest.raises(UsageError, match=sentence):
        main(["fit", *ours, "--trainer.max_epochs=1", "--trainer.accelerator=cpu"])
    assert not list(here.rglob("version_0"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model.lrr=1",), "^`model.lrr` is no option of RepresentationModule;"),
        (
            ("--model.head=LinearHead", "--model.head.resett=true"),
            r"^`model.head.resett` is no option of LinearHead \(did you mean reset\?\);",
        ),
        (("--data.imbalence_ratio=2",), r"^`data.imbalence_ratio` is no option of DigitsLT \(did you mean imbalance_"),
        (("--data.val_from=tests",), "^`data.val_from`: Expected one of .*, train, .*. Got value: tests;"),
        (("--model.head=NoSuchHead",), "NoSuchHead"),
        (("--model.loss=FocalLos",), r"no class has the name 'FocalLos' \(did you mean FocalLoss.*\?\);"),
        (("--model.mixing=Qqqqqqqq",), r"'Qqqqqqqq' \(one of your own needs its module in front\);"),
        (("--model.head=SmallCNN",), "SmallCNN"),
        (("--trainer.max_epochs=many",), "max_epochs"),
        (("--data.imbalance_ratio=big",), "imbalance_ratio"),
        (("--no_such_option=1",), "no_such_option"),
        (("--model.lr_scheduler=null",), r"^`model.lr_scheduler` is null, .*; for a constant rate give torch\.optim\."),
        (("--model.head=null",), "^`model.head` is null, which it cannot be; give a value, or leave it out\\.$"),
        (
            ("--data.batch_size=null",),
            "^`data.batch_size` is null, which it cannot be; give a value, or leave it out\\.$",
        ),
        (("--data.imbalance_ratio=null",), "^`data.imbalance_ratio` is null"),
    ],
)
def test_unknown_keys_and_wrong_types_are_named_before_training(here, tiny, capsys, arguments, sentence):
    with pytest.raises(UsageError, match=sentence) as refused:
        main(tiny("fit", "RepresentationModule", *arguments))
    assert "\n" not in str(refused.value)
    assert not list(here.rglob("version_*"))


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--model.lrr=1",), "--model.help RepresentationModule"),
        (
            ("--model.head=LinearHead", "--model.head.resett=true"),
            "--model RepresentationModule --model.head.help LinearHead",
        ),
        (
            ("--model.loss=FocalLoss", "--model.loss.gamma=x"),
            "--model RepresentationModule --model.loss.help FocalLoss",
        ),
        (("--model.loss=FocalLos",), "--model.help RepresentationModule"),
        (
            ("--model.optimizer=SGD", "--model.optimizer.lr=x"),
            "--model RepresentationModule --model.optimizer.help SGD",
        ),
        (("--data.imbalance_ratio=big",), "--data.help DigitsLT"),
        (
            ("--data.sampler=ClassBalancedSampler", "--data.sampler.x=1"),
            "--data DigitsLT --data.sampler.help ClassBalancedSampler",
        ),
        (("--trainer.callbacks+=DRW", "--trainer.callbacks.strt=3"), "--trainer.callbacks.help DRW"),
        (("--trainer.max_epochs=many",), "--help"),
        (("--no_such_option=1",), "--help"),
    ],
)
def test_a_mistake_is_answered_with_the_help_that_exists(tiny, capsys, arguments, option):
    with pytest.raises(UsageError, match=rf"; `lt-lightning fit {option}` and `--print_config` list the options"):
        main(tiny("fit", "RepresentationModule", *arguments))
    with pytest.raises(SystemExit) as stop:
        main(["fit", *option.split()])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_of_several_types_that_would_do_the_sentence_names_each_once(tiny):
    with pytest.raises(UsageError, match=r"^`trainer.max_epochs`: Expected an int. Got value: many; "):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=many"))
    with pytest.raises(UsageError, match=r"^`trainer.callbacks.strt` is no option of DRW \(did you mean start\?\);"):
        main(tiny("fit", "RepresentationModule", "--trainer.callbacks+=DRW", "--trainer.callbacks.strt=3"))


def test_of_a_list_the_part_is_named_that_is_wrong(here, tiny):
    stopping = {"class_path": "EarlyStopping", "init_args": {"monitor": "val/all", "mode": "max"}}
    listed = [stopping, {"class_path": "DRW", "init_args": {"strt": 3}}]
    (here / "listed.yaml").write_text(json.dumps({"trainer": {"callbacks": listed}}))
    sentence = r"^`trainer.callbacks.strt` is no option of DRW \(did you mean start\?\); `[^`]*callbacks.help DRW` and"
    with pytest.raises(UsageError, match=sentence):
        main(tiny("fit", "RepresentationModule", "-c", "listed.yaml"))
    with pytest.raises(UsageError, match=r"^`trainer.strategy.foo` is no option of DDPStrategy;"):
        main(tiny("fit", "RepresentationModule", "--trainer.strategy=DDPStrategy", "--trainer.strategy.foo=3"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--data.imbalance_ratio=0.5",), "imbalance_ratio"),
        (("--data.batch_size=0",), "`data.batch_size` must be at least 1, but got 0"),
        (("--data.group_thresholds=[30,8]",), r"`data.group_thresholds` must be \(low, high\)"),
        (("--data.sampler=MultinomialSampler",), r"abstract class MultinomialSampler .*: a base class, or"),
        (("--model.head=LWSHead",), "LWSHead and `model` RepresentationModule do not go together.*train LinearHead"),
        (("--model.loss=Loss",), r"abstract class Loss .*forward.*: a base class, or one of your own"),
        (("--model.loss=LDAMLoss",), "LinearHead and `model.loss` LDAMLoss do not go together: LDAMLoss .* by 30"),
        (
            ("--model.head=LogitAdjustmentHead", "--model.loss=BalancedSoftmaxLoss"),
            "LogitAdjustmentHead and `model.loss` BalancedSoftmaxLoss would both correct",
        ),
        (
            ("--model.loss=BalancedSoftmaxLoss", "--data.sampler=ClassBalancedSampler"),
            "`data.sampler` and `BalancedSoftmaxLoss` would both correct",
        ),
    ],
)
def test_values_that_do_not_go_together_are_named_before_training(here, tiny, arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *arguments))
    assert not list(here.rglob("last.ckpt"))


def test_published_mixtures_can_be_permitted(here, tiny):
    options = ("--model.loss=BalancedSoftmaxLoss", "--data.sampler=ClassBalancedSampler", "--trainer.max_epochs=1")
    main(tiny("fit", "RepresentationModule", "--model.allow_double_balancing=true", *options))
    assert results(here)["sampler"] == "ClassBalancedSampler"


def test_missing_checkpoint_option_is_named(here, tiny, capsys):
    with pytest.raises(UsageError, match=r"^`--model.checkpoint` must be given"):
        main(tiny("fit", "RetrainModule", "--trainer.max_epochs=1"))


def test_a_refused_run_leaves_no_folder(here, tiny):
    (here / "empty.pth").touch()
    with pytest.raises(UsageError, match=r"`checkpoint` 'empty\.pth'"):
        main(tiny("fit", "RetrainModule", "--model.checkpoint=empty.pth", "--trainer.max_epochs=1"))
    assert not [path for path in here.rglob("*") if path.is_file() and path.name != "empty.pth"]
    assert not list(here.rglob("version_0"))


def test_of_a_folder_that_cannot_be_made_the_option_is_named(here, tiny):
    (here / "runs").touch()
    with pytest.raises(UsageError, match=r"^The run's folder .* cannot be made .* by `trainer.default_root_dir`\.$"):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--trainer.devices=0",), "not a valid input"),
        (("--trainer.devices=3", "--data.batch_size=64"), "multiple of their number, but got 64 for 3 processes"),
        (("--model.optimizer=SGD", "--model.optimizer.lr=-1"), "`model.optimizer` refuses .*learning rate"),
        (
            ("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_loss"),
            "'val_loss', which nothing logs; give one of val/all, ",
        ),
        (
            ("--trainer.callbacks+=DRW", "--trainer.callbacks.beta=2"),
            r"^`beta` of `DRW` must lie in \[0, 1\), .* 2.0.$",
        ),
        (
            (
                "--trainer.callbacks+=EarlyStopping",
                "--trainer.callbacks.monitor=val/all",
                "--trainer.callbacks.mode=up",
            ),
            "^`mode` can be",
        ),
        (("--optimizer=SGD",), "here it is the model's: `--model.optimizer`"),
    ],
)
def test_what_the_trainer_refuses_is_one_sentence(here, tiny, options, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *options))
    assert "\n" not in str(caught.value)
    assert not list(here.rglob("version_*"))


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("fit", ("--trainer.val_check_interval=1000",), r"`val_check_interval` \(1000\) must be less"),
        ("fit", ("--trainer.callbacks+=LearningRateFinder",), "one of the optimizer; .*`--model.optimizer.lr`"),
        ("test", ("--ckpt_path=best",), "not configured to save the best"),
        ("fit", ("--ckpt_path=hpc",), "no HPC checkpoint was found"),
    ],
)
def test_what_the_trainer_refuses_as_it_starts_is_one_sentence_too(here, tiny, command, options, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        main(tiny(command, "RepresentationModule", "--trainer.max_epochs=1", *options))
    assert "\n" not in str(caught.value)


def test_where_nothing_trains_no_end_is_asked_for(here):
    typed = "fit -c cifar100_lt/tau_norm --data=DigitsLT --model.backbone=SmallCNN --model.checkpoint=any.pth"
    with pytest.raises(UsageError, match=r"`model.head` TauNormHead has nothing to train; use `lt-lightning test`"):
        main(typed.split())


def test_training_without_an_end_is_refused(here, tiny):
    with pytest.raises(UsageError, match=r"`trainer.max_epochs` is not set"):
        main(tiny("fit", "RepresentationModule"))
    no_schedule = "--model.lr_scheduler=torch.optim.lr_scheduler.ConstantLR"
    main(tiny("fit", "RepresentationModule", "--trainer.max_steps=2", no_schedule))
    assert results(here)["steps"] == 2


def test_data_that_are_not_there_are_named_before_training(here, tiny, folder_root):
    with pytest.raises(UsageError, match=r"`root` nowhere does not hold cifar100 \(that folder does not exist\)"):
        main(["test", "-c", "cifar100_lt/tau_norm", "--model.checkpoint=x.ckpt", "--data.root=nowhere"])
    (folder_root / "train").rename(folder_root / "training")
    arguments = ("--data=ImageFolderLT", f"--data.root={folder_root}", "--model.backbone=SmallCNN")
    with pytest.raises(UsageError, match="train"):
        main(["fit", "--model=RepresentationModule", *arguments, "--trainer.max_epochs=1"])


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            (),
            r"was given no `--ckpt_path`, so the network would have random weights; give the `last\.ckpt` of a run\.$",
        ),
        (("--ckpt_path=last",), r"^`ckpt_path` is 'last', but a new run's folder holds none; give the file's path\.$"),
    ],
)
def test_a_network_that_nothing_has_trained_is_not_evaluated(here, tiny, command, option, sentence):
    run = predict if command == "predict" else main
    with pytest.raises(UsageError, match=sentence):
        run(tiny(command, "RepresentationModule", *option))
    assert not list(here.rglob("version_*"))


def test_what_brings_its_weights_along_is_evaluated_without_a_checkpoint(here, tiny, monkeypatch):
    """As a class derived from stage 1's may; and the last of an earlier run, where a callback says where it is."""
    (here / "own_stage1.py").write_text(
        "from lt_lightning.modules import RepresentationModule\n\n\nclass Own(RepresentationModule):\n    pass\n"
    )
    monkeypatch.syspath_prepend(here)
    main(tiny("test", "own_stage1.Own"))
    kept = ("--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.dirpath=kept")
    kept = (*kept, "--trainer.callbacks.save_last=true")
    kept = (*kept, "--trainer.callbacks.monitor=val/all", "--trainer.callbacks.mode=max")
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *kept))
    main(tiny("test", "RepresentationModule", "--ckpt_path=last", *kept))
    tested = json.loads((here / "runs/RepresentationModule/version_1/results.json").read_text())
    assert tested["started_from"]["path"].endswith("kept/last.ckpt")


def test_a_folder_that_cannot_be_read_is_one_sentence(here, folder_root, monkeypatch):
    closed, scandir = folder_root / "train" / "cat", os.scandir

    def scan(path="."):
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", scan)
    with pytest.raises(UsageError, match=r"^Permission denied: '.*cat'; choose another place, or change its rights"):
        main(["fit", "-c", "cifar100_lt/stage1/ce", "--data", "ImageFolderLT", "--data.root", str(folder_root)])
