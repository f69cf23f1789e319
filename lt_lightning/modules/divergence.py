"""Training that diverges: weights become infinite or NaN, or what the network makes of images does."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lt_lightning.errors import UsageError


class DivergedError(UsageError):
    """Weights are infinite or NaN, or so large that logits are."""


def check_finite(module: LightningModule) -> None:
    """End a run whose weights are infinite or NaN, which no further step mends.

    Asked once an epoch, before its checkpoint is written, so the last one is of weights that are fine. Losses are not
    asked: one that overflows in fp16 costs a step, which the trainer's scaling of gradients leaves out.

    Args:
        module: In training; waits for its device.

    Raises:
        DivergedError: If a parameter that trains is not finite.
    """
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    with torch.no_grad():
        finite = [parameter.isfinite().all() for parameter in trained.values()]
        if not finite or bool(torch.stack(finite).all()):
            return
    name = next(name for name, fine in zip(trained, finite, strict=True) if not fine)
    raise DivergedError(
        f"Training has diverged: after epoch {module.current_epoch} weights are infinite or no numbers, `{name}` the "
        f"first of them; give the optimizer a smaller learning rate, or look for what makes the loss NaN."
    )


def has_nan_or_inf(logits: Tensor) -> Tensor:
    """Whether a logit is NaN or ``inf``, without waiting for its device; ``-inf`` may rule a class out."""
    return (logits.isnan() | (logits == torch.inf)).any()


def check_logits(module: LightningModule, nan_or_inf: Tensor | bool) -> None:
    """End a run whose logits are NaN or infinite, even if weights are not: all images would count as class 0.

    Args:
        module: That has been validated; waits for its device, and for the other processes.
        nan_or_inf: Whether this process's validation images had such logits.

    Raises:
        DivergedError: If some were, in any process.
    """
    found = module.trainer.strategy.reduce(torch.as_tensor(nan_or_inf, device=module.device).float(), reduce_op="max")
    if bool(found):
        check_finite(module)
        raise DivergedError(
            f"Training has diverged: in epoch {module.current_epoch} the network's logits of validation images are "
            f"infinite or no numbers; give the optimizer a smaller learning rate, or look for what makes weights so "
            f"large."
        )
