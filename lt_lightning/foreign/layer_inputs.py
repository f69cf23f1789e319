"""What goes into a linear layer of a module over the batches of a loader."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lt_lightning.devices.placement import device_of_modules
from lt_lightning.errors import UsageError
from lt_lightning.foreign.running import logits_of, rounding, run_eagerly
from lt_lightning.wording import kind


@torch.no_grad()
def inputs_of(model: nn.Module, name: str, loader: Iterable[Any], argument: str) -> tuple[Tensor, Tensor]:
    """What goes into a linear layer over all batches.

    Args:
        model: Run on every batch as it is, on its own device; give a copy in evaluation mode.
        name: Of the layer.
        loader: Batches of images and targets.
        argument: Name of the argument that the loader was given as, for messages.

    Returns:
        Inputs ``(N, D)``, fp32 at least, and targets ``(N,)``, int64, on the CPU.

    Raises:
        UsageError: If a batch is no pair of images and classes, the layer has another input than one vector for each
            image, the model predicts other classes than the layer, or there is no batch.
    """
    seen: list[Tensor] = []
    given: list[Tensor] = []

    def hook(_: nn.Module, args: tuple[Tensor, ...], options: dict[str, Tensor], logits: Tensor) -> None:
        seen.append((args[0] if args else options["input"]).detach())
        given.append(logits.clone())  # what follows may change it in its place

    features, targets = [], []
    with model.get_submodule(name).register_forward_hook(hook, with_kwargs=True, prepend=True):
        for batch in loader:
            images, classes = images_and_classes(batch, argument)
            seen.clear()
            given.clear()
            returned = logits_of(run_eagerly(model, images.to(device_of_modules(model)), argument))
            if len(seen) != 1 or seen[0].ndim != 2 or len(seen[0]) != len(classes):
                found = ", ".join(str(tuple(one.shape)) for one in seen) or "nothing"
                raise UsageError(
                    f"`classifier` {name!r} must be given one feature vector for each image, but for {len(classes)} "
                    f"images it was given {found}."
                )
            as_wide = [output for output in returned if output.shape == given[0].shape]
            if others := min((_predicted_otherwise(given[0], output) for output in as_wide), default=0):
                raise UsageError(
                    f"`model` {type(model).__name__} predicts other classes than its nn.Linear {name!r} for {others} "
                    f"of {len(classes)} images in a batch of `{argument}`, though not in the first of `train_loader`; "
                    f"leave off what follows that layer."
                )
            features.append(seen[0].cpu().to(torch.promote_types(seen[0].dtype, torch.float32)))
            targets.append(classes.cpu())
    if not features:
        raise UsageError(f"`{argument}` has no batches; give (images, targets) batches.")
    if not any(map(len, targets)):
        raise UsageError(f"`{argument}` has no images in its batches; give (images, targets) batches that have some.")
    return torch.cat(features), torch.cat(targets).long()


def _predicted_otherwise(logits: Tensor, output: Tensor) -> int:
    """Number of images whose best class in an output is not the logits' best, beyond rounding."""
    known = logits.isfinite().all(dim=-1)  # of other images there is nothing to compare
    logits, output = logits[known], output[known].nan_to_num()
    predicted = output.gather(-1, logits.argmax(dim=-1, keepdim=True))
    return int((predicted < output.amax(dim=-1, keepdim=True) - rounding(output)).sum())


def images_and_classes(batch: Any, argument: str) -> tuple[Tensor, Tensor]:
    """The two parts of a batch.

    Raises:
        UsageError: If the batch is anything else.
    """
    if (
        not isinstance(batch, (tuple, list))
        or len(batch) != 2
        or not all(isinstance(part, Tensor) for part in batch)
        or batch[1].ndim != 1
        or batch[1].is_floating_point()
        or len(batch[0]) != len(batch[1])
    ):
        raise UsageError(
            f"`{argument}` must give batches (images, targets): a tensor of images and a tensor with the number of "
            f"each one's class, but gave {kind(batch)}; give a list of such pairs, or an object whose "
            f"`__iter__` yields them."
        )
    return batch[0], batch[1]
