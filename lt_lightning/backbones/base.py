"""The contract of every backbone."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.wording import one_line

_PUBLISHED: ContextVar[bool] = ContextVar("published", default=True)
# What networks and PyTorch name where images are too small, or of another size than the network is made for.
_OF_SIZES = re.compile(r"size|shape|height|width")


class Backbone(nn.Module, ABC):
    """Base of all feature extractors."""

    num_features: int
    """Length D of a feature vector."""

    published_transform: Mapping[str, Sequence[float]] = MappingProxyType({})
    """``mean`` and ``std`` of the images that its published weights were trained on; empty without such weights."""

    weights_file: str | None = None
    """File that its weights are read from, if any; what these were trained on counts as unknown."""

    if TYPE_CHECKING:  # else a call of an nn.Module is of no type

        def __call__(self, images: Tensor) -> Tensor:
            """:meth:`forward`."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features of images: ``(N, C, H, W)`` to ``(N, D)``."""

    def size_advice(self) -> str:
        """What to do about images of a size that it does not take; empty to leave its errors about them as they are."""
        return ""


@contextmanager
def without_published_weights() -> Iterator[None]:
    """Have backbones that are made within begin at random, also where they are told to begin with published weights.

    For callers that load a checkpoint's weights afterwards: nothing is fetched. The settings stay as they are, since
    some, such as ``weights``, also change the architecture.
    """
    token = _PUBLISHED.set(False)
    try:
        yield
    finally:
        _PUBLISHED.reset(token)


def loads_published_weights() -> bool:
    """Whether a backbone loads published weights if told to; not within :func:`without_published_weights`."""
    return _PUBLISHED.get()


def features_of(backbone: nn.Module, images: Tensor) -> Tensor:
    """Pass images through a backbone.

    Raises:
        UsageError: If its first convolution takes another number of channels than they have, or a timm or torchvision
            network does not take images of their size.
    """
    try:
        features: Tensor = backbone(images)
    except (AssertionError, RuntimeError) as error:  # looked at after an error alone, so that it costs no time
        if images.ndim != 4:
            raise
        refused = _other_channels(backbone, images) or _other_size(backbone, images, error)
        if not refused:
            raise
        raise UsageError(f"`backbone` {type(backbone).__name__} {refused}.") from error
    return features


def _other_channels(backbone: nn.Module, images: Tensor) -> str:
    first = next((layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is None or first.in_channels == images.shape[1]:
        return ""
    return (
        f"takes images of {first.in_channels} channel(s), but the data's have {images.shape[1]}; choose a backbone for "
        f"these, by `in_channels` where it has that, or, where a file's weights fix the backbone, give a backbone or a "
        f"data module of your own that makes its input of them"
    )


def _other_size(backbone: nn.Module, images: Tensor, error: Exception) -> str:
    """What is wrong with the images' size; empty where the error may be another, or a mistake in somebody's code."""
    advice = backbone.size_advice() if isinstance(backbone, Backbone) else ""
    of_sizes = isinstance(error, AssertionError) or _OF_SIZES.search(str(error))
    if not advice or not of_sizes or isinstance(error, torch.OutOfMemoryError):
        return ""
    height, width = images.shape[2:]
    found = one_line(error, most=200).rstrip(".!") or type(error).__name__
    return f"does not take images of {height} × {width} ({found}); {advice}"
