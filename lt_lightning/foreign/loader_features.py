"""What a model's last layer is given for the images of a loader, for :mod:`lt_lightning.api`."""

import operator
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler

from lt_lightning.errors import UsageError
from lt_lightning.features import Features
from lt_lightning.foreign.layer_inputs import images_and_classes, inputs_of
from lt_lightning.progress import Advance, progress_bar
from lt_lightning.wording import first_few


def first_images(loader: Iterable[Any]) -> Tensor:
    """The images of the first batch that has some.

    Raises:
        UsageError: If there is none, or what there is can be gone through only once.
    """
    if not isinstance(loader, Iterable):
        raise UsageError(f"`train_loader` must give (images, targets) batches, but got {type(loader).__name__}.")
    batches = iter(loader)
    if batches is loader:
        raise UsageError(
            "`train_loader` can be gone through only once, and it takes twice; give a DataLoader or a list of batches."
        )
    found = "batches"
    for batch in batches:
        images, _ = images_and_classes(batch, "train_loader")
        if len(images):
            return images
        found = "images in its batches"
    raise UsageError(f"`train_loader` has no {found}; give (images, targets) batches that have some.")


def training_features(
    model: nn.Module, name: str, layer: nn.Linear, loader: Iterable[Any], progress: bool
) -> tuple[Features, list[int]]:
    """What the last layer is trained on, and images per class.

    Args:
        model: In evaluation mode.
        name: Of the layer in it.
        layer: That layer.
        loader: (images, targets) batches.
        progress: Whether to show how far it has come.

    Raises:
        UsageError: As for :func:`features_of`, and if a class has no image.

    Warns:
        UserWarning: If the loader is known to show images more than once, or not at all.
    """
    if said := _why_counts_are_others(loader):
        warnings.warn(
            f"`train_loader` {said}, so the training images of each class are counted wrong; give a loader that shows "
            f"each training image once.",
            stacklevel=3,  # the call of `retrain`
        )
    features = features_of(model, name, layer, loader, "train_loader", progress)
    counts = torch.bincount(features.targets, minlength=layer.out_features).tolist()
    _check_counts(counts, name)
    return features, counts


def features_of(
    model: nn.Module, name: str, layer: nn.Linear, loader: Iterable[Any], argument: str, progress: bool
) -> Features:
    """Inputs of the last layer, and the classes of the images.

    Args:
        model: In evaluation mode.
        name: Of the layer in it.
        layer: That layer.
        loader: (images, targets) batches.
        argument: Name of the argument that the loader was given as, for messages.
        progress: Whether to show how far it has come.

    Raises:
        UsageError: If batches are not as they should be, a class is none of the layer's, or an input is infinite or
            NaN.
    """
    batches = _length(loader) or None
    with progress_bar(f"batches of {argument}", batches, progress) as advance:
        values, targets = inputs_of(model, name, _counted(loader, advance), argument)
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= layer.out_features:
        raise UsageError(
            f"`{argument}` has targets from {low} to {high}, but `classifier` {name!r} has {layer.out_features} "
            f"outputs, for classes from 0 to {layer.out_features - 1}."
        )
    if not bool(values.isfinite().all()):
        raise UsageError(
            f"`{argument}` makes inputs of `classifier` {name!r} that are infinite or not a number; check its images "
            f"and the weights of `model`."
        )
    return Features(values.unsqueeze(0), targets)


def _counted(batches: Iterable[Any], advance: Advance) -> Iterator[Any]:
    for batch in batches:
        yield batch
        advance(1)


def _why_counts_are_others(loader: Iterable[Any]) -> str:
    """What a DataLoader does other than showing each image once, after its name; nothing if that cannot be told."""
    batches = getattr(loader, "batch_sampler", None)
    sampler = getattr(batches, "sampler", getattr(loader, "sampler", None))
    name = type(sampler).__name__
    if any(getattr(sampler, flag, False) for flag in ("replacement", "rebalances")):
        return f"shows some images more often than others, by its {name}"
    if (getattr(sampler, "num_replicas", None) or 1) > 1:
        return f"shows each process a share of the images, by its {name}"
    if type(batches) is BatchSampler and batches.drop_last:  # one's own may mean something else by it
        dropped = _length(sampler) % batches.batch_size
        return f"leaves out {dropped} images, by its `drop_last`" if dropped else ""
    return ""


def _length(sized: object) -> int:
    """Of a loader or sampler: each has ``__len__``, which raises one of these errors where nobody knows it."""
    with suppress(TypeError, NotImplementedError):
        return operator.length_hint(sized, 0)
    return 0


def _check_counts(counts: list[int], name: str) -> None:
    empty = [str(label) for label, count in enumerate(counts) if count == 0]
    if not empty:
        return
    advice, known = "give at least one image of each class", len(counts) - len(empty)
    if known < len(empty):  # such as the 1,000 classes of ImageNet, where five are wanted
        advice += (
            f" or, if these are other classes than yours, first give the network a layer for the {known} that you "
            f"have: train a fresh nn.Linear in the place of this one, or use `lt-lightning probe`"
        )
    raise UsageError(
        f"`train_loader` has no image of class {first_few(empty)}, and `classifier` {name!r} has {len(counts)} "
        f"outputs; {advice}."
    )
