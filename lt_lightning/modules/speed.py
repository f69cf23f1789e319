"""What makes the same training faster on a device: compilation, memory formats, optimisers in one kernel."""

from typing import Any, Literal, cast

import torch
import torch._dynamo
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from lt_lightning.errors import UsageError

Compilation = Literal["none", "default", "reduce-overhead", "max-autotune"]
"""How the backbone is compiled: not at all, or in one of the modes of ``torch.compile``. ``reduce-overhead`` uses CUDA
graphs, ``max-autotune`` also measures which kernels are fastest."""


GRAPHS = 64
"""Graphs that a process may compile."""


def check_accumulation(backbone: nn.Module, mode: Compilation, trainer: Trainer) -> None:
    """Refuse CUDA graphs for a step of several batches: what one has left in the gradients, the next one overwrites.

    Args:
        backbone: One that trains; the gradients of others are not a graph's.
        mode: How it is to be compiled.
        trainer: That is to train.

    Raises:
        UsageError: If they do not go together.
    """
    batches = trainer.accumulate_grad_batches
    graphs = mode in ("reduce-overhead", "max-autotune") and trainer.strategy.root_device.type == "cuda"
    if graphs and batches > 1 and any(parameter.requires_grad for parameter in backbone.parameters()):
        raise UsageError(
            f"`model.compile` {mode} uses CUDA graphs, which overwrite the gradients that "
            f"`trainer.accumulate_grad_batches` {batches} would add up; set `model.compile` to default, or accumulate "
            f"none."
        )


def compile_(backbone: nn.Module, mode: Compilation) -> None:
    """Compile a backbone in place; its parameters keep their names.

    Args:
        backbone: Compiled when it first runs, anew for each shape of batch: a graph of sizes that are known is faster,
            and an epoch has two of them.
        mode: How; "none" leaves it as it is.
    """
    if mode == "none":
        return
    # Counted over all networks of a process: a pipeline's stages, each with sizes of its own for training, validation
    # and test, come to more than torch's 8, after which networks would silently run as they are.
    config = cast(Any, torch._dynamo.config)
    config.recompile_limit = max(config.recompile_limit, GRAPHS)
    backbone.compile(mode=mode, dynamic=False)


def in_memory_format(images: Tensor, channels_last: bool) -> Tensor:
    """Images in the memory format that convolutions run in; what are no images, ``(N, C, H, W)``, stays as it is.

    There is no copy where the data come so; where they come otherwise, a network would take on their format.
    """
    if images.ndim != 4:
        return images
    return images.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def prefer_fused(optimizer: Optimizer) -> None:
    """Let an optimiser update all parameters in one kernel where that is faster: on a GPU.

    Nothing changes where the user has chosen an implementation by ``fused``, ``foreach`` or ``differentiable``.

    Args:
        optimizer: Before its first step.
    """
    if type(optimizer) not in (SGD, Adam, AdamW):
        return
    for group in optimizer.param_groups:
        chosen = group["fused"] is not None or group["foreach"] is not None or group["differentiable"]
        if not chosen and all(parameter.is_cuda for parameter in group["params"]):
            group["fused"] = True
