"""Augmenting and normalising whole batches of uint8 images on the device they are on.

Each image draws its own crop and its own flip, so a batch follows the same law as images transformed one by one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def draw_offsets(batch: int, padding: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Draw where the crop of each image starts.

    Args:
        batch: Number B of images.
        padding: Pixels added on each side; 0 draws nothing.
        device: Where the offsets are wanted.
        generator: Source of the draws, which are made on its device; ``None`` uses the default one of ``device``.

    Returns:
        First row and first column of each crop in its padded image, ``(2, B)``, int64, from 0 to ``2 * padding``.
    """
    if padding == 0:
        return torch.zeros(2, batch, dtype=torch.int64, device=device)
    where = device if generator is None else generator.device
    offsets = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator, device=where)
    return offsets.to(device, non_blocking=True)


def draw_coins(batch: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Toss which images are mirrored.

    Args:
        batch: Number B of images.
        device: Where the outcome is wanted.
        generator: Source of the draws, which are made on its device; ``None`` uses the default one of ``device``.

    Returns:
        ``(B,)``, bool, true with probability one half.
    """
    where = device if generator is None else generator.device
    coins = torch.rand(batch, generator=generator, device=where) < 0.5
    return coins.to(device, non_blocking=True)


def random_crop(images: Tensor, padding: int, generator: torch.Generator | None = None) -> Tensor:
    """Crop each image to its own size from a version padded with zeros on all sides.

    Zeros are added before normalisation, so the border is black, as in He et al. 2016 (section 4.2).

    Args:
        images: ``(B, C, H, W)``, any dtype.
        padding: Pixels added on each side; 0 returns ``images`` itself.
        generator: Source of the offsets; one on the CPU gives the same offsets for every device. ``None`` uses the
            default one of the images' device.

    Returns:
        ``(B, C, H, W)``: each image one of its ``(2 * padding + 1)**2`` crops, all equally likely.
    """
    if padding == 0:
        return images
    batch, _, height, width = images.shape
    top, left = draw_offsets(batch, padding, images.device, generator)
    # All crops of all images as one view (B, C, 2p+1, 2p+1, H, W); indexing it copies the chosen ones only.
    crops = pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    return crops[torch.arange(batch, device=images.device), :, top, left]


def crop_at(images: Tensor, padding: int, top: int, left: int) -> Tensor:
    """One of the crops that :func:`random_crop` draws from, the same for all images.

    Args:
        images: ``(B, C, H, W)``, any dtype.
        padding: Pixels of zeros added on each side.
        top: First row of the crop in the padded image, 0 to ``2 * padding``; ``padding`` is the image's own.
        left: First column.

    Returns:
        ``(B, C, H, W)``.
    """
    height, width = images.shape[-2:]
    return pad(images, (padding,) * 4)[..., top : top + height, left : left + width]


def random_horizontal_flip(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Mirror each image left to right with probability one half.

    Args:
        images: ``(B, C, H, W)``, uint8.
        generator: Source of the coins, which are tossed on its device; ``None`` uses the default one of the images'
            device.

    Returns:
        ``(B, C, H, W)``.
    """
    mask = (draw_coins(len(images), images.device, generator).to(torch.uint8) * 255)[:, None, None, None]
    # image ^ (image ^ mirrored) is the mirrored one. A `where` that broadcasts its condition takes 7 times as long.
    return images.flip(-1).bitwise_xor_(images).bitwise_and_(mask).bitwise_xor_(images)


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale pixels to [0, 1], then standardise each channel: ``(images / 255 - mean) / std``.

    Args:
        images: ``(B, C, H, W)``, uint8.
        mean: Mean of each channel, ``(C,)``, on the scale of [0, 1].
        std: Standard deviation of each channel, ``(C,)``, on the same scale.

    Returns:
        ``(B, C, H, W)``, fp32, in the memory format of ``images``.
    """
    # Made on the host and sent without waiting for the device: a batch costs no synchronisation.
    constants = torch.tensor([[255 * m for m in mean], [1 / (255 * s) for s in std]])
    if not images.is_contiguous() and images.is_contiguous(memory_format=torch.channels_last):
        # Whole rows of pixels at once: on a CPU, broadcasting over the few channels of a pixel takes 5 times as long.
        shift, scale = constants.repeat(1, images.shape[3]).to(images.device, non_blocking=True)
        rows = images.permute(0, 2, 3, 1).flatten(2)
        return _standardised(rows, shift, scale).view(images.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
    shift, scale = constants[:, :, None, None].to(images.device, non_blocking=True)
    return _standardised(images, shift, scale)


def _standardised(images: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    # A copy in fp32 that is changed in place: arithmetic between uint8 and fp32 takes 8 times as long on a CPU.
    return images.to(torch.float32, copy=True).sub_(shift).mul_(scale)
