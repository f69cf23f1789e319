"""Plain settings become parts."""

import pytest
import torch

from lt_lightning.comparing.settings import Settings, SettingsParser, start
from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, LinearHead
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss

COUNTS = [30, 12, 5]
PARSER = SettingsParser()


def test_parts_are_new_each_time():
    settings = PARSER.make({"head": {"class_path": "CosineHead", "init_args": {"scale": 4.0}}}, "mine")
    head, loss = settings.parts(6, COUNTS)
    assert isinstance(head, CosineHead)
    assert (head.scale, head.in_features, loss.class_counts) == (4.0, 6, COUNTS)
    assert settings.parts(6, COUNTS)[0] is not head
    assert PARSER.make({"epochs": 3}, "mine").epochs == 3


def test_arguments_hold_defaults():
    found = PARSER.arguments({"loss": "LORTLoss", "optimizer": {"class_path": "torch.optim.SGD"}}, "mine")
    assert found["loss"]["delta"] == 0.98
    assert {"lr", "weight_decay", "momentum"} <= set(found["optimizer"])


def test_heads_start_from_stage_1_with_the_bias_of_the_loss():
    weight, bias = torch.randn(3, 4), torch.randn(3)
    head = LinearHead(4, COUNTS)
    start(head, CrossEntropyLoss(COUNTS), weight, bias)
    assert torch.equal(head.bias, bias)
    loss = ClassBalancedLoss(COUNTS, kind="sigmoid", init_bias=True)
    start(head, loss, weight, bias)
    assert head.bias.tolist() == pytest.approx([loss.initial_bias] * 3)


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_sizes_are_checked(name):
    with pytest.raises(UsageError, match=f"`{name}` must be at least 1, but got 0"):
        Settings(**{name: 0})
