"""Colour jitter: the law of its draws, and that they are what happens."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from lt_lightning.augmentations import ColorJitter
from lt_lightning.augmentations.operations import CODES
from lt_lightning.errors import UsageError

NAMES = {CODES["brightness"]: "brightness", CODES["contrast"]: "contrast", CODES["color"]: "saturation"}


def test_orders_are_equally_likely_and_factors_uniform():
    codes, amounts = ColorJitter(0.4, 0.2, 1.5).draw(30_000, 8, 8, torch.Generator().manual_seed(0))
    orders, counts = codes.unique(dim=1, return_counts=True)
    assert orders.shape == (3, 6)
    assert (counts / 30_000).tolist() == pytest.approx([1 / 6] * 6, abs=0.01)
    for name, low, high in (("brightness", -0.4, 0.4), ("contrast", -0.2, 0.2), ("color", -1.0, 1.5)):
        drawn = amounts[codes == CODES[name]]
        assert len(drawn) == 30_000
        assert low <= drawn.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < drawn.max() <= high
        quarters = torch.histc(drawn.float(), 4, low, high) / 30_000
        assert quarters.tolist() == pytest.approx([0.25] * 4, abs=0.015)


def test_images_are_changed_as_drawn():
    jitter = ColorJitter()
    images = torch.randint(0, 256, (16, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found = jitter(images, torch.Generator().manual_seed(2))
    codes, amounts = jitter.draw(16, 9, 7, torch.Generator().manual_seed(2))
    for place, image in enumerate(images):
        for code, amount in zip(codes[:, place].tolist(), amounts[:, place].tolist(), strict=True):
            image = getattr(reference, f"adjust_{NAMES[code]}")(image, 1 + amount)
        assert (found[place].int() - image.int()).abs().max() <= 1
    assert not torch.equal(found, images)


def test_a_strength_of_zero_leaves_a_colour_alone():
    codes, _ = ColorJitter(0.4, 0, 0).draw(5, 8, 8, None)
    assert codes.tolist() == [[CODES["brightness"]] * 5]
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    still = ColorJitter(0, 0, 0)
    assert not still.changes
    assert torch.equal(still(images), images)


@pytest.mark.parametrize("strength", [-1, float("nan"), float("inf")])
def test_strengths_that_cannot_be_are_refused(strength):
    with pytest.raises(UsageError, match=f"`contrast` of `ColorJitter` must be .* at least 0, but got {strength}"):
        ColorJitter(contrast=strength)
