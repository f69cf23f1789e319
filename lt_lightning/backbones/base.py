"""The contract of every backbone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor, nn

from lt_lightning.errors import UsageError

_PUBLISHED: ContextVar[bool] = ContextVar("published", default=True)


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
        UsageError: If its first convolution takes another number of channels than they have.
    """
    try:
        features: Tensor = backbone(images)
    except RuntimeError as error:  # looked at after an error alone, so that it costs no time
        first = next((layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)), None)
        if first is None or images.ndim != 4 or first.in_channels == images.shape[1]:
            raise
        raise UsageError(
            f"`backbone` {type(backbone).__name__} takes images of {first.in_channels} channel(s), but the data's have "
            f"{images.shape[1]}; choose a backbone for these, by `in_channels` where it has that."
        ) from error
    return features
