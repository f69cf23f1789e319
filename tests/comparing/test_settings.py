"""Plain settings become parts."""

from dataclasses import replace

import pytest
from torch.optim.lr_scheduler import ChainedScheduler, OneCycleLR

from lt_lightning.comparing.methods import recipe
from lt_lightning.comparing.settings import Settings, SettingsParser
from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead
from lt_lightning.samplers import InstanceSampler
from lt_lightning.schedules import CosineLR

COUNTS = [30, 12, 5]
PARSER = SettingsParser()


def test_parts_are_new_each_time():
    settings = PARSER.make({"head": {"class_path": "CosineHead", "init_args": {"scale": 4.0}}}, "mine")
    head, loss = settings.parts(6, COUNTS)
    assert isinstance(head, CosineHead)
    assert (head.scale, head.in_features, loss.class_counts) == (4.0, 6, COUNTS)
    assert settings.parts(6, COUNTS)[0] is not head
    assert PARSER.make({**recipe(), "epochs": 3}, "mine").epochs == 3


def test_a_sampler_is_tried_on_as_many_targets_of_each_class_as_there_will_be():
    tried = []

    def sampler(targets, seed):
        tried.append(targets.bincount().tolist())
        return InstanceSampler(targets, seed)

    Settings(sampler=sampler).parts(6, COUNTS)
    assert tried == [COUNTS]


def test_jsonargparse_is_asked_for_nothing_that_it_will_drop(monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "once")  # else off here, for what Lightning calls
    settings = SettingsParser().make({"head": {"class_path": "CosineHead", "init_args": {"scale": 5.0}}}, "mine")
    assert settings.parts(6, COUNTS)[0].scale == 5.0  # and no warning, which would be an error here


def test_arguments_hold_defaults():
    found = PARSER.arguments({"loss": "LORTLoss", "optimizer": {"class_path": "torch.optim.SGD"}}, "mine")
    assert found["loss"]["delta"] == 0.98
    assert {"lr", "weight_decay", "momentum"} <= set(found["optimizer"])


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_sizes_are_checked(name):
    with pytest.raises(UsageError, match=f"`{name}` must be at least 1, but got 0"):
        Settings(**{name: 0})


def test_a_schedule_ends_with_the_methods_own_epochs():
    settings = PARSER.make({**recipe(), "epochs": 3}, "mine")
    _, schedule = settings.training(*settings.parts(6, COUNTS))
    assert schedule.epochs == 3


def test_a_schedule_with_a_part_without_a_length_is_refused():
    settings = Settings(lr_scheduler=lambda o: ChainedScheduler([CosineLR(o)]))
    with pytest.raises(UsageError, match="`CosineLR` inside `ChainedScheduler` has no length"):
        settings.training(*settings.parts(6, COUNTS))
    settings = Settings(lr_scheduler=lambda o: ChainedScheduler([CosineLR(o, epochs=3)]))
    settings.training(*settings.parts(6, COUNTS))


def test_a_schedule_that_ends_before_the_last_epoch_is_refused():
    settings = Settings(lr_scheduler=lambda o: OneCycleLR(o, max_lr=0.1, total_steps=10))
    sentence = r"^`lr_scheduler` OneCycleLR is 10 steps long, .* once per epoch, 20 times .*; give `total_steps` 20\.$"
    with pytest.raises(UsageError, match=sentence):
        settings.training(*settings.parts(6, COUNTS))
    settings = replace(settings, epochs=10)
    settings.training(*settings.parts(6, COUNTS))
