"""What a pipeline is told, and what it answers to mistakes before anything trains."""

import pytest
import yaml
from tiny_pipeline import retrain, write

from lt_lightning import pipeline
from lt_lightning.errors import UsageError


def test_print_config_gives_every_augmentation_back(here, capsys):
    options = ["--stage2.cut.augmentation=Cutout", "--stage2.cut.augmentation.length=5", "--stage2.plain.augmentation"]
    typed = [*write(here, cut=retrain(), plain=retrain(), null=retrain(), left=retrain()), *options, "none"]
    printed = []
    for arguments in ([*typed, "--stage2.null.augmentation=null"], ["pipeline", "-c", "printed.yaml"]):
        with pytest.raises(SystemExit):
            pipeline.main([*arguments, "--print_config"])
        printed.append(capsys.readouterr().out)
        (here / "printed.yaml").write_text(printed[-1])
    assert printed[0] == printed[1]
    stages = yaml.safe_load(printed[0])["stage2"]
    cut = {"class_path": "lt_lightning.augmentations.Cutout", "init_args": {"length": 5, "fill": 0}}
    assert {name: stage["augmentation"] for name, stage in stages.items()} == {
        "cut": cut,
        "plain": "none",
        "null": None,
        "left": None,
    }


def test_print_config_of_a_pipeline(here, capsys):
    with pytest.raises(SystemExit) as stop:
        pipeline.main([*write(here, lort=retrain()), "--print_config"])
    assert stop.value.code == 0
    assert "lort" in yaml.safe_load(capsys.readouterr().out)["stage2"]


@pytest.mark.parametrize(
    ("stage2", "word"),
    [
        (retrain(headd="LinearHead"), "headd"),
        (retrain(loss={"class_path": "LORTLoss", "init_args": {"delta": "much"}}), "delta"),
        ({**retrain(), "max_epochs": 3}, "max_epochs"),
        ({**retrain(), "augmentation": "Cutuot"}, "did you mean Cutout"),
        ({**retrain(), "augmentation": {"class_path": "Cutout", "init_args": {"lenth": 3}}}, "lenth"),
    ],
)
def test_misspelt_keys_of_stage2_stop_before_stage1(here, capsys, stage2, word):
    with pytest.raises(UsageError, match=word):
        pipeline.main(write(here, bad=stage2))
    assert not (here / "runs").exists()


def test_a_misspelt_method_is_none_of_its_own(here):
    arguments = [*write(here, lort=retrain(), lws=retrain()), "--stage2.lrt.trainer.max_epochs=1"]
    sentence = (
        r"^`stage2.lrt` names a method without a `model` \(did you mean lort\?\); .* has lort, lws; a new .*lrt.model"
    )
    with pytest.raises(UsageError, match=sentence):
        pipeline.main(arguments)
    with pytest.raises(UsageError, match=r"^`stage2.mine` names a method without a `model`; a new method needs"):
        pipeline.main(write(here, mine={"trainer": {"max_epochs": 1}}))
    assert not (here / "runs").exists()


def _stages_printed(capsys, *arguments):
    with pytest.raises(SystemExit):
        pipeline.main([*arguments, "--print_config"])
    return yaml.safe_load(capsys.readouterr().out)["stage2"]


def test_null_leaves_a_method_out(here, capsys):
    both = write(here, lort=retrain(), lws=retrain(2))
    (here / "stacking.yaml").write_text("stack: tiny.yaml\nstage2: {lort: null}\n")
    (here / "after.yaml").write_text("stage2: {lort: null}\n")
    options = ["--stage2.lort.trainer.max_epochs", "3"]
    for arguments in (
        ["pipeline", "-c", "stacking.yaml"],
        [*both, "-c", "after.yaml"],
        [*both, "--stage2.lort=null"],
        [*both, "--stage2.lort=~"],
        [*both, *options, "--stage2.lort", "null", "--seed_everything=1"],
    ):
        stages = _stages_printed(capsys, *arguments)
        assert {name: stage["trainer"]["max_epochs"] for name, stage in stages.items()} == {"lws": 2}


def test_a_method_that_was_left_out_can_be_named_again(here, capsys):
    both = write(here, lort=retrain(5), lws=retrain())
    (here / "after.yaml").write_text("stage2: {lort: null}\n")
    (here / "again.yaml").write_text(yaml.safe_dump({"stage2": {"lort": {"model": retrain()["model"]}}}))
    stages = _stages_printed(capsys, *both, "-c", "after.yaml", "-c", "again.yaml")
    assert stages["lort"]["trainer"]["max_epochs"] == 5
    with pytest.raises(
        UsageError, match=r"^`stage2.lort` names a method without a `model`; the configuration has lws;"
    ):
        pipeline.main([*both, "--stage2.lort=null", "--stage2.lort.trainer.max_epochs=1"])


def test_what_leaves_no_method_is_refused(here):
    both = write(here, lort=retrain(), lws=retrain())
    with pytest.raises(UsageError, match=r"^`stage2` names no method; give a configuration"):
        pipeline.main([*both, "--stage2.lort=null", "--stage2.lws=null"])
    with pytest.raises(UsageError, match=r"^`stage2.lrt` is null, .* none has this name \(did you mean lort\?\)\.$"):
        pipeline.main([*both, "--stage2.lrt=null"])


@pytest.mark.parametrize("typed", [["--stage1.trainer.devices=2"], ["--stage1.trainer.devices", "2"]])
def test_devices_on_the_command_line_of_a_stage(here, typed):
    with pytest.raises(UsageError, match=r"`stage1.trainer.devices` is '2', .* set `trainer.devices` for the whole"):
        pipeline.main([*write(here, lort=retrain()), *typed])


@pytest.mark.parametrize(
    "typed", [["--stage2.lort.model.checkpoint=a.ckpt"], ["--stage2.lort.model.checkpoint", "a.ckpt"]]
)
def test_a_checkpoint_on_the_command_line_of_a_stage(here, typed):
    with pytest.raises(UsageError, match=r"`stage2.lort.model.checkpoint` is 'a.ckpt', but in a pipeline"):
        pipeline.main([*write(here, lort=retrain()), *typed])


def test_invalid_yaml_is_named(here):
    (here / "broken.yaml").write_text("stage2: [unclosed")
    with pytest.raises(UsageError, match=r"'broken\.yaml' is not valid YAML"):
        pipeline.main(["pipeline", "-c", "broken.yaml"])


@pytest.mark.parametrize(
    ("mistake", "option"),
    [
        ("--stage1.model.lrr=1", "--stage1.model.help RepresentationModule"),
        ("--stage2.lort.model.loss=Nope", "--stage2.lort.model.help RetrainModule"),
        ("--data.nope=1", "--data.help DigitsLT"),
        ("--stage2.lws.sampler.nope=1", "--stage2.lws.sampler.help ClassBalancedSampler"),
        ("--stage2.lws.sampler.samples_per_class=x", "--stage2.lws.sampler.help ClassBalancedSampler"),
        (
            '--stage2.lort.augmentation={"class_path": "Cutout", "init_args": {"length": "x"}}',
            "--stage2.lort.augmentation.help Cutout",
        ),
    ],
)
def test_a_mistake_is_answered_with_the_help_that_exists(here, capsys, mistake, option):
    with pytest.raises(UsageError, match=f"`lt-lightning pipeline {option}` and `--print_config` list the options"):
        pipeline.main(["pipeline", "-c", "quickstart", mistake])
    with pytest.raises(SystemExit) as stop:
        pipeline.main(["pipeline", *option.split()])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out
