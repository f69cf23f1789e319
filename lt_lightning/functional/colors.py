"""Changing the colours of whole batches of uint8 images, each image by an amount of its own.

Every function gives what torchvision's function of that name (``transforms.v2.functional``) gives image by image.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Scale pixels: factor 0 gives black, 1 the image itself.

    Args:
        images: ``(B, C, H, W)``, uint8.
        factors: ``(B,)``, floating point, at least 0.

    Returns:
        ``(B, C, H, W)``, uint8; values above 255 are cut.
    """
    return _to_pixels(images * _per_image(factors, images))


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blend each image with its grey version: factor 0 gives that, 1 the image itself.

    Args:
        images: ``(B, C, H, W)``, uint8, with 3 channels; with one, which has no colour, they are given back.
        factors: ``(B,)``, floating point, at least 0.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    return images if images.shape[1] == 1 else _blend(images, _grey(images), factors)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend each image with the mean of its grey version: factor 0 gives that, 1 the image itself.

    Args:
        images: ``(B, C, H, W)``, uint8, with 1 or 3 channels.
        factors: ``(B,)``, floating point, at least 0.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    return _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), factors)


def adjust_sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend each image with a smoothed version: factor 0 gives that, 1 the image itself, 2 a sharper one.

    The outermost pixels, which have no full neighbourhood, stay as they are.

    Args:
        images: ``(B, C, H, W)``, uint8.
        factors: ``(B,)``, floating point, at least 0.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    if min(images.shape[-2:]) <= 2:
        return images
    pixels = images.to(torch.float32)
    inner = pixels[..., 1:-1, 1:-1]
    # Weights of 1 around a 5, over 13. All sums are whole numbers below 2**24, so they are exact.
    smoothed = avg_pool2d(pixels, 3, stride=1, divisor_override=1).add_(inner, alpha=4).div_(13).round_()
    inner.addcmul_(smoothed.sub_(inner), _per_image(1 - factors.double(), images))
    return _to_pixels(pixels)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of every pixel.

    Args:
        images: ``(B, C, H, W)``, uint8.
        bits: ``(B,)``, from 0 (black) to 8 (the image itself); fractions are cut.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    masks = 256 - 2 ** (8 - bits.to(torch.int64))
    return images & _per_image(masks, images, torch.uint8)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the pixels that reach a threshold.

    Args:
        images: ``(B, C, H, W)``, uint8.
        thresholds: ``(B,)``, on the scale of 0 to 255; above 255 leaves an image as it is.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    # Whole pixels reach a threshold when they reach the next whole number.
    return torch.where(images >= _per_image(thresholds.ceil(), images, torch.int16), 255 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch every channel of every image so that it reaches from 0 to 255; a channel of one value stays.

    Args:
        images: ``(B, C, H, W)``, uint8.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    lowest, highest = (bound.to(torch.float32) for bound in torch.aminmax(images.flatten(2), dim=2, keepdim=True))
    flat = lowest == highest
    scale = torch.where(flat, torch.ones_like(lowest), (highest - lowest) * (1 / 255))
    shift = torch.where(flat, torch.zeros_like(lowest), lowest)
    return _to_pixels((images - shift[..., None]).div_(scale[..., None]))


def equalize(images: Tensor) -> Tensor:
    """Map the values of every channel of every image so that all are about equally frequent.

    The map is PIL's: ``(pixels below the value + step // 2) // step``, where a step is a 255th of the pixels that are
    not of the highest value; a channel with fewer of them than 255 stays.

    Args:
        images: ``(B, C, H, W)``, uint8.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    values = images.flatten(2).to(torch.int64)
    counts = torch.zeros(*values.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, values, torch.ones_like(values))
    highest = values.amax(2, keepdim=True)
    step = (values.shape[2] - counts.gather(2, highest)) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255).to(torch.uint8)
    return torch.where(step[..., None] > 0, table.gather(2, values).view_as(images), images)


def invert(images: Tensor) -> Tensor:
    """The negative of every image.

    Args:
        images: ``(B, C, H, W)``, uint8.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    return 255 - images


def _grey(images: Tensor) -> Tensor:
    """Whole grey values, ``(B, 1, H, W)``, fp32, with the weights of ITU-R BT.601."""
    if images.shape[1] == 1:
        return images.to(torch.float32)
    red, green, blue = images.to(torch.float32).unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_().unsqueeze(1)


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    rest = _per_image(1 - factors.double(), images)
    return _to_pixels((images * _per_image(factors, images)).addcmul_(others, rest))


def _per_image(amounts: Tensor, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return amounts.to(dtype).to(images.device, non_blocking=True)[:, None, None, None]


def _to_pixels(values: Tensor) -> Tensor:
    return values.clamp_(0, 255).to(torch.uint8)
