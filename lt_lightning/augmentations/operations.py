"""The operations that learnt and random policies draw from, each applied to those images of a batch that drew it."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from lt_lightning.functional import colors, warps

Operation = Literal[
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
    "invert",
]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
CODES = {name: code for code, name in enumerate(OPERATIONS)}
SIGNED: frozenset[Operation] = frozenset(
    ("shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast", "sharpness")
)
"""Operations whose magnitude is as likely negative as positive."""

_WARPS: dict[Operation, Callable[[Tensor, int, int], Tensor]] = {
    "shear_x": lambda amounts, height, _: warps.shear_x(amounts, height),
    "shear_y": lambda amounts, _, width: warps.shear_y(amounts, width),
    "translate_x": lambda amounts, *_: warps.translate_x(amounts),
    "translate_y": lambda amounts, *_: warps.translate_y(amounts),
    "rotate": lambda amounts, *_: warps.rotate(amounts),
}
_COLORS: dict[Operation, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda images, amounts: colors.adjust_brightness(images, 1 + amounts),
    "color": lambda images, amounts: colors.adjust_saturation(images, 1 + amounts),
    "contrast": lambda images, amounts: colors.adjust_contrast(images, 1 + amounts),
    "sharpness": lambda images, amounts: colors.adjust_sharpness(images, 1 + amounts),
    "posterize": colors.posterize,
    "solarize": lambda images, amounts: colors.solarize(images, 255 * amounts),
    "autocontrast": lambda images, _: colors.autocontrast(images),
    "equalize": lambda images, _: colors.equalize(images),
    "invert": lambda images, _: colors.invert(images),
}


def apply(images: Tensor, codes: Tensor, magnitudes: Tensor, fill: int) -> Tensor:
    """Apply to each image the operation that was drawn for it.

    All warps are one pass, whatever their kind; every other operation is one pass over its images.

    Args:
        images: ``(B, C, H, W)``, uint8, on any device; not changed in place.
        codes: Operation of each image as a number of ``OPERATIONS``, ``(B,)``, int64, on the CPU.
        magnitudes: ``(B,)``, floating point, on the CPU: shear as a fraction, translation in pixels, rotation in
            degrees counter-clockwise, colours as the difference of the factor from 1, bits kept, threshold from 0 to
            1. Operations without a magnitude leave it aside.
        fill: Value of pixels that a warp takes from outside the image.

    Returns:
        ``(B, C, H, W)``, uint8.
    """
    height, width = images.shape[-2:]
    counts = torch.bincount(codes, minlength=len(OPERATIONS)).tolist()
    groups = zip(OPERATIONS, torch.split(codes.argsort(stable=True), counts), strict=True)
    drawn = [(name, rows) for name, rows in groups if len(rows)]
    changed = images.clone()
    moved = [(name, rows) for name, rows in drawn if name in _WARPS]
    if moved:
        matrices = torch.cat([_WARPS[name](magnitudes[rows], height, width) for name, rows in moved])
        place = torch.cat([rows for _, rows in moved]).to(images.device, non_blocking=True)
        changed[place] = warps.warp(images[place], matrices, fill)
    for name, rows in drawn:
        if name in _COLORS:
            place = rows.to(images.device, non_blocking=True)
            changed[place] = _COLORS[name](images[place], magnitudes[rows])
    return changed
