"""Features of the training images, for heads that are made from them."""

from typing import Any, cast

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.gathering import gather_rows
from lt_lightning.modules.base import LTModule


def training_features(module: LTModule) -> tuple[Tensor, Tensor]:
    """Features of every training image, each once over all processes, as evaluation sees them.

    Images come without augmentation, the backbone is in evaluation mode and in the precision that the trainer evaluates
    with. They stay on the device of the module: N·D numbers in each process.

    Args:
        module: A module within a trainer's run.

    Returns:
        ``(N, D)`` and classes ``(N,)``, the same in every process; shares of the processes follow each other.

    Raises:
        UsageError: If the trainer has no data of this package to take them from.
    """
    trainer = cast(Any, module.trainer)
    data = getattr(trainer, "datamodule", None)
    batches = getattr(data, "undistorted_batches", None)
    if batches is None:
        raise UsageError(
            f"`model.head` {type(module.head).__name__} is made from the features of the training images, which needs "
            f"data of this package, but got {type(data).__name__}."
        )
    training = module.training
    module.eval()
    rows, classes = [], []
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for images, targets in batches("train", module.device):
            rows.append(module.features(images).clone())  # a CUDA graph writes each batch's to the same place
            classes.append(targets)
    module.train(training)
    features, targets = map(torch.cat, gather_rows(torch.cat(rows), torch.cat(classes)))
    return features, targets
