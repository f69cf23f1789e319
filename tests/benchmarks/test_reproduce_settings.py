"""What follows from how cells are run."""

from dataclasses import replace
from pathlib import Path

from reproducing.records import Key

KEY = Key("LORT", "digits", "features", "a preset", 1, 0)


def test_each_seed_and_precision_has_a_folder(settings, training):
    one = settings.folder(training, 0)
    assert one.parent.parent.name == "runs"
    half = replace(settings, precision="bf16-mixed").folder(training, 0)
    assert len({one, settings.folder(training, 1), half}) == 3


def test_stage1_is_the_tables_own_unless_a_file_is_given(settings, training, tiny_backbone):
    assert settings.source(training) == training.preset
    assert settings.own_backbone == {}
    assert settings.origin(KEY) == {"name": "a preset", "seed": 1, "another": False}
    given = replace(settings, checkpoint=Path("folder/model.pth"), backbone=tiny_backbone)
    assert given.source(training) == "SmallCNN, model.pth"
    assert replace(given, backbone="ResNet32").source(training) == "ResNet32, model.pth"
    assert given.heads("paper").backbone == {"model": {"init_args": {"backbone": tiny_backbone}}}
    assert given.origin(KEY)["another"]


def test_every_training_gets_what_is_asked_for_and_no_more(settings):
    assert settings.for_all == {"trainer": {"enable_progress_bar": False, "accelerator": "cpu"}}
    asked = replace(settings, root="data", precision="16-true", compile="default").for_all
    assert asked["model"] == {"init_args": {"compile": "default"}}
    assert asked["data"] == {"init_args": {"root": "data"}}
    assert asked["trainer"]["precision"] == "16-true"
