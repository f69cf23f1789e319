"""What a parser complains of, in one sentence that names what helps."""

import re
import traceback

import pytest

from lt_lightning import cli
from lt_lightning.comparing.settings import SettingsParser
from lt_lightning.errors import UsageError
from lt_lightning.main import LTCLI, main


def test_a_class_of_ones_own_is_asked_for_help_by_its_whole_name(here, tiny, monkeypatch, capsys):
    (here / "own_tau.py").write_text(
        "from lt_lightning.heads import LinearHead\n"
        "class Tau(LinearHead):\n"
        "    def __init__(self, in_features: int, class_counts: list[int], tau: float) -> None:\n"
        "        super().__init__(in_features, class_counts)\n"
    )
    monkeypatch.syspath_prepend(here)
    option = "--model RepresentationModule --model.head.help own_tau.Tau"
    with pytest.raises(UsageError, match=f"^`--model.head.tau` must be given; `lt-lightning fit {option}` and"):
        main(tiny("fit", "RepresentationModule", "--model.head=own_tau.Tau"))
    with pytest.raises(SystemExit):
        main(["fit", *option.split()])
    assert "--head.tau TAU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--model.head=CrossEntropyLoss", "'CrossEntropyLoss' of `lt_lightning.losses` is of another kind"),
        ("--data.sampler=LinearHead", "'LinearHead' of `lt_lightning.heads` is of another kind"),
        ("--model.head=CrossEntropyLos", r"no class has the name 'CrossEntropyLos' \(did you mean CrossEntropyLoss"),
    ],
)
def test_a_class_of_another_kind_is_not_offered_as_its_own_correction(tiny, argument, sentence):
    with pytest.raises(UsageError, match=sentence):
        main(tiny("fit", "RepresentationModule", argument))


@pytest.mark.parametrize("argument", ["--model.loss=MarginLos", "--model.loss=OneVsAllLos", "--model.head=AffineHea"])
def test_a_base_class_is_not_offered_as_a_correction(tiny, argument):
    with pytest.raises(UsageError, match="no class has the name") as caught:
        main(tiny("fit", "RepresentationModule", argument))
    offered = re.findall(r"did you mean ([\w ]+)\?", str(caught.value))
    assert not {"MarginLoss", "OneVsAllLoss", "AffineHead"} & set(" ".join(offered).split())


def test_arguments_without_a_type_are_named(here, tiny, monkeypatch):
    (here / "own_untyped.py").write_text(
        "from lt_lightning.heads import LinearHead\n"
        "class Untyped(LinearHead):\n"
        "    def __init__(self, in_features, class_counts):\n"
        "        super().__init__(in_features, class_counts)\n"
    )
    monkeypatch.syspath_prepend(here)
    sentence = "Parameter 'in_features' from 'own_untyped.Untyped.__init__' does not specify a type; `lt-lightning"
    with pytest.raises(UsageError, match=sentence) as refused:
        main(tiny("fit", "RepresentationModule", "--model.head=own_untyped.Untyped"))
    assert "fail_untyped" not in str(refused.value)
    with pytest.raises(UsageError, match=f"`methods` Untyped: {sentence}"):
        SettingsParser().make({"head": {"class_path": "own_untyped.Untyped"}}, "Untyped")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("compare", "`--checkpoint`, `--data` must be given;"),
        ("compare --checkpoint=a.pth --data=DigitsLT --backbone=TimmBackbone", ": `--backbone.name` must be given;"),
        ("fit -c cifar100_lt/lort --data.root=data", "error: `--model.checkpoint` must be given;"),
        ("fit --data=DigitsLT", "error: `--model` must be given; `lt-lightning fit"),
        ("predict", "error: `--ckpt_path` must be given: a checkpoint, such as a run's `last.ckpt`;"),
        ("predict --data.root=photos", "error: `--ckpt_path` must be given: a checkpoint"),
        ("validate --ckpt_path=last", "`--model`, `--data` must be given (`--ckpt_path` with a checkpoint of this"),
        (
            "test --ckpt_path=last --data.root=a",
            "`data` has options but no class; give it one by `--data`, in front of",
        ),
        (
            "fit --trainer.logger.init_args.name=a",
            "`trainer.logger` has options but no class; give it one by `--trainer.logger`, in front of them; `lt-l",
        ),
        (
            "compare --backbone=ResNet18",
            "no class has the name 'ResNet18' (did you mean TorchvisionBackbone with",
        ),
        ("compare --backbone=ResNet23", "no class has the name 'ResNet23' (did you mean ResNet"),
        ("pipeline", "`stage2` names no method; give a configuration with `-c`"),
        ("pipeline -c cifar100_lt/lort", "has `model`, so it is one of `lt-lightning fit`, not of `pipeline`"),
        (
            "pipeline -c quickstart --stage2.lort none",
            "unrecognized arguments: --stage2.lort none (did you mean --stage2.lort.",
        ),
        (
            "test --ckpt last.ckpt",
            "unrecognized arguments: --ckpt last.ckpt (did you mean --ckpt_path?); `lt-lightning t",
        ),
        ("compare --checkpoin=last.ckpt", "unrecognized arguments: --checkpoin=last.ckpt (did you mean --checkpoint"),
        ("inspect --dat=DigitsLT", "unrecognized arguments: --dat=DigitsLT (did you mean --data"),
        ("probe --dat=DigitsLT", "unrecognized arguments: --dat=DigitsLT (did you mean --data"),
        ("export --checkpoint=a.ckpt --out=a.onnx", "unrecognized arguments: --out=a.onnx (did you mean --output"),
        ("report runs --out table.md", "unrecognized arguments: --out table.md"),
        ("plot runs --kind tail", "unrecognized arguments: --kind tail"),
        ("fit --optimizer=SGD", "--optimizer=SGD (here it is the model's: `--model.optimizer`); `lt-lightning fit"),
        (
            "fit -c quickstart",
            "so it is one of `lt-lightning pipeline`, not of `fit`; run `lt-lightning pipeline -c` with it.",
        ),
        (
            "compare -c cifar100_lt/lort",
            "so it is one of `lt-lightning fit`, not of `compare`; give presets to `--methods`.",
        ),
    ],
)
def test_what_is_missing_or_elsewhere_is_said_as_it_is_typed(typed, sentence, here, capsys):
    with pytest.raises(SystemExit):
        cli.main(typed.split())
    assert sentence in capsys.readouterr().err


def test_a_mistake_in_a_pipeline_stays_one_of_the_pipeline(here, capsys):
    with pytest.raises(SystemExit):
        cli.main(["pipeline", "-c", "quickstart", "--stage1.model.los=FocalLoss"])
    said = capsys.readouterr().err
    assert "`lt-lightning pipeline" in said
    assert "so it is one of" not in said


def test_a_subcommand_where_none_is_wanted_is_one_sentence():
    with pytest.raises(UsageError, match="fit"):
        LTCLI(["fit", "--data=DigitsLT"], run=False)


def test_from_python_the_sentence_comes_without_the_parsers_tracebacks():
    with pytest.raises(UsageError, match=r"`--model` must be given") as refused:
        LTCLI({"data": {"class_path": "DigitsLT"}}, run=False)
    shown = "".join(traceback.format_exception(refused.value))
    assert shown.count("Traceback (most recent call last)") == 1


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            "--model.optimizer=SGD --model.optimizer.lr=1e-3a",
            r"^`model.optimizer.lr`: Expected a float. Got value: 1e-3a;",
        ),
        ("--model.head=Linear-Head", r"^`model.head`: no class has the name 'Linear-Head' \(did you mean LinearHead"),
        (
            "--data.lists.train=train.csv",
            r"^`data.lists.train` is no option of DigitsLT; `lt-lightning fit --data.help",
        ),
        (
            "--model.head.resett.x=1",
            r"^`model.head.resett.x` is no option of LinearHead \(did you mean reset\?\); .* --model.head.help Lin",
        ),
        ("--model.optimizer=torch.optim.AdmaW", r"'torch.optim' has no attribute 'AdmaW' \(did you mean AdamW"),
        ("--model.head=lt_lightning.haeds.LinearHead", r"has no attribute 'haeds' \(did you mean heads"),
        (
            "--trainer.callbacks=lt_lightning.callbacks.DWR",
            r"'DWR' \(did you mean DRW\?\)\..*; `lt-lightning fit --help`",
        ),
    ],
)
def test_a_typo_is_named_as_it_was_typed(tiny, typed, sentence):
    with pytest.raises(UsageError, match=sentence):
        main(tiny("fit", "RepresentationModule", *typed.split()))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("--data=ImageListLT", "--data.class_names=[a b, 12]"), "`data.class_names`: Expected a str. Got value: 12; "),
        (
            ("--model.loss=FocalLoss", "--model.loss.weight=[1, x]"),
            "`model.loss.weight`: Expected a float. Got value: x; ",
        ),
    ],
)
def test_a_list_as_long_as_the_number_of_classes_is_not_shown_around_what_is_wrong(tiny, typed, sentence):
    with pytest.raises(UsageError, match=f"^{sentence}`lt-lightning fit "):
        main(tiny("fit", "RepresentationModule", *typed))
