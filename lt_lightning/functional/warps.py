"""Shearing, shifting and turning whole batches of uint8 images, each image by an amount of its own.

A warp is a matrix ``(2, 3)`` that leads from a pixel of the result to the place in the image that it shows. Places are
``(x, y)`` in pixels, from the centre of the image; x points right, y down.
"""

import torch
from torch import Tensor


def shear_x(amounts: Tensor, height: int) -> Tensor:
    """Matrices that shift each row to the left by its distance from the top edge times an amount.

    Args:
        amounts: ``(B,)``, floating point; negative ones shift to the right.
        height: Of the images, in pixels.

    Returns:
        ``(B, 2, 3)``.
    """
    warps = _identity(amounts)
    warps[:, 0, 1] = amounts
    warps[:, 0, 2] = amounts * height / 2
    return warps


def shear_y(amounts: Tensor, width: int) -> Tensor:
    """Matrices that shift each column up by its distance from the left edge times an amount.

    Args:
        amounts: ``(B,)``, floating point; negative ones shift down.
        width: Of the images, in pixels.

    Returns:
        ``(B, 2, 3)``.
    """
    warps = _identity(amounts)
    warps[:, 1, 0] = amounts
    warps[:, 1, 2] = amounts * width / 2
    return warps


def translate_x(amounts: Tensor) -> Tensor:
    """Matrices that shift images to the right.

    Args:
        amounts: ``(B,)``, floating point, in pixels; fractions are cut.

    Returns:
        ``(B, 2, 3)``.
    """
    warps = _identity(amounts)
    warps[:, 0, 2] = -amounts.trunc()
    return warps


def translate_y(amounts: Tensor) -> Tensor:
    """Matrices that shift images down.

    Args:
        amounts: ``(B,)``, floating point, in pixels; fractions are cut.

    Returns:
        ``(B, 2, 3)``.
    """
    warps = _identity(amounts)
    warps[:, 1, 2] = -amounts.trunc()
    return warps


def rotate(degrees: Tensor) -> Tensor:
    """Matrices that turn images counter-clockwise about their centre.

    Args:
        degrees: ``(B,)``, floating point.

    Returns:
        ``(B, 2, 3)``.
    """
    angles = degrees.deg2rad()
    warps = _identity(degrees)
    warps[:, 0, 0] = warps[:, 1, 1] = angles.cos()
    warps[:, 0, 1], warps[:, 1, 0] = -angles.sin(), angles.sin()
    return warps


def warp(images: Tensor, warps: Tensor, fill: int = 0) -> Tensor:
    """Give every pixel the value of the pixel nearest to the place that its image's matrix leads to.

    Args:
        images: ``(B, C, H, W)``, uint8.
        warps: ``(B, 2, 3)``, floating point, on any device.
        fill: Value of pixels that show a place outside the image, 0 (black) to 255.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    batch, channels, height, width = images.shape
    matrices = warps.to(torch.float32).to(images.device, non_blocking=True)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x = torch.arange(width, device=images.device, dtype=torch.float32) - centre_x
    y = torch.arange(height, device=images.device, dtype=torch.float32)[:, None] - centre_y
    per_image = matrices[..., None, None]
    columns = (per_image[:, 0, 0] * x + per_image[:, 0, 1] * y + per_image[:, 0, 2] + centre_x).round_()
    rows = (per_image[:, 1, 0] * x + per_image[:, 1, 1] * y + per_image[:, 1, 2] + centre_y).round_()
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    places = (rows.clamp_(0, height - 1) * width + columns.clamp_(0, width - 1)).to(torch.int64)
    found = images.flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, channels, -1))
    return found.view(batch, channels, height, width).masked_fill_(~inside[:, None], fill)


def _identity(amounts: Tensor) -> Tensor:
    return torch.eye(2, 3, dtype=amounts.dtype, device=amounts.device).repeat(len(amounts), 1, 1)
