"""Logits averaged over images and their mirror images, as published test code does."""

from collections.abc import Callable

from torch import Tensor

from lt_lightning.errors import UsageError


def flip_averaged(forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Mean logits of each image and its mirror image, ``(N, C, H, W)`` to ``(N, K)``.

    Args:
        forward: Makes logits of images.
        images: That have a left and a right, or videos, ``(N, C, T, H, W)``; of vectors it would turn the order of
            features round.

    Raises:
        UsageError: If they are no images.
    """
    if images.ndim < 4:
        raise UsageError(
            f"`flip_average`, a part of `protocol` paper too, averages over images (N, C, H, W) and their mirror "
            f"images, but got inputs of shape {tuple(images.shape)}; leave it out."
        )
    return (forward(images) + forward(images.flip(-1))) / 2
