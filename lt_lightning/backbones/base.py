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
from lt_lightning.wording import kind, one_line

_PUBLISHED: ContextVar[bool] = ContextVar("published", default=True)
# What networks and PyTorch name where images are too small, or of another size than the network is made for.
_OF_SIZES = re.compile(r"size|shape|height|width")
_OF_TYPES = re.compile(r"type|not implemented for|floating point")
_INDICES = (torch.int32, torch.int64)  # of which `nn.Embedding` takes no others
_OF_ONE_VALUE = "Expected more than 1 value per channel when training"


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


def type_of_weights(network: nn.Module) -> torch.dtype:
    """The type that a network's weights have; fp32 if it has none."""
    return next((weight.dtype for weight in network.parameters() if weight.is_floating_point()), torch.float32)


def in_type_of_weights(inputs: object, dtype: torch.dtype) -> Tensor:
    """Inputs in the type that a network computes in; int32 and int64 as they are, since they may be indices.

    Args:
        inputs: What the data have made of a batch.
        dtype: Of the network's weights.

    Raises:
        UsageError: If the inputs are no tensor.
    """
    if not isinstance(inputs, Tensor):
        raise UsageError(
            f"`to_input` of the data must give one tensor, but gave {kind(inputs)}; put all that the network needs "
            f"into one, and have the backbone take it apart."
        )
    return inputs if inputs.dtype in _INDICES else inputs.to(dtype)


def features_of(backbone: nn.Module, images: Tensor) -> Tensor:
    """Pass images through a backbone.

    Raises:
        UsageError: If it does not take whole numbers of their type, its first convolution takes another number of
            channels than they have, a timm or torchvision network does not take images of their size, or it normalises
            over a batch of which this process has one image.
    """
    try:
        features: Tensor = backbone(images)
    except ValueError as error:
        if len(images) > 1 or _OF_ONE_VALUE not in str(error):
            raise
        raise UsageError(
            f"`backbone` {type(backbone).__name__} normalises features or maps of one pixel over a batch, but this "
            f"process has one image in it; give another `data.batch_size`, so that also the last batch of an epoch "
            f"leaves it more, or, in stage 2, `model.bn_mode` eval."
        ) from error
    except (AssertionError, RuntimeError) as error:  # looked at after an error alone, so that it costs no time
        refused = _other_type(images, error)
        if not refused and images.ndim == 4:
            refused = _other_channels(backbone, images) or _other_size(backbone, images, error)
        if not refused:
            raise
        raise UsageError(f"`backbone` {type(backbone).__name__} {refused}.") from error
    return features


def _other_type(images: Tensor, error: Exception) -> str:
    """What is wrong with the type of whole numbers; of others it may be a mistake in somebody's code."""
    if images.is_floating_point() or not _OF_TYPES.search(str(error)):
        return ""
    return (
        f"does not take inputs in {images.dtype} ({one_line(error, most=200).rstrip('.!')}); have `to_input` of the "
        f"data give numbers as `images.float()`, and indices as `images.long()`"
    )


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
