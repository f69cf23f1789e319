"""A warning where a checkpoint's classes seem to stand in another order than the data's."""

import torch

from lt_lightning.comparing.evaluation import predict_parts
from lt_lightning.comparing.setup import Setup
from lt_lightning.features import Features
from lt_lightning.functional import recall_if_renamed, top_class
from lt_lightning.wording import first_few

_CLEAR = 0.2
"""Gain in recall that no mistake of a classifier in the right order is taken for."""


def check_order(setup: Setup, features: dict[str, Features]) -> None:
    """Warn where stage 1 would know the training images much better if its classes were others.

    A foreign file seldom names them, and methods that start from its classifier then learn from a wrong one.
    """
    train, names = features["train"], setup.data.class_names
    said = torch.cat([top_class(part) for part in predict_parts(setup.stage1().head, train, setup.device)])
    plain, renamed, meant = recall_if_renamed(said, train.targets, len(setup.counts))
    if renamed - plain <= _CLEAR:
        return
    moved = [(names[row], names[one]) for row, one in enumerate(meant.tolist()) if row != one]
    shown = first_few([f"{theirs!r} meant {ours!r}" for theirs, ours in moved], most=3)
    setup.warn(
        f"The checkpoint's classes seem to stand in another order than the data's: stage 1 is right about "
        f"{100 * plain:.1f} % of the training images, mean over classes, but would be about {100 * renamed:.1f} % if "
        f"{shown}; name its classes in the order of its rows by `checkpoint_class_names`."
    )
