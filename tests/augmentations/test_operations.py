"""Each operation, as torchvision's policies apply it."""

import pytest
import torch
from torchvision.transforms import v2

from lt_lightning.augmentations.operations import CODES, OPERATIONS, SIGNED, apply

AMOUNTS = {
    "shear_x": 0.2,
    "shear_y": 0.2,
    "translate_x": 6.7,
    "translate_y": 6.7,
    "rotate": 25.0,
    "posterize": 5.0,
    "solarize": 0.4,
}


def theirs(image, name, magnitude, fill):
    named = {key.lower(): key for key in ("Identity", *v2.AutoAugment._AUGMENTATION_SPACE)}
    policy = v2.TrivialAugmentWide(fill=fill)
    fills = {torch.Tensor: [float(fill)] * len(image)}
    return policy._apply_image_or_video_transform(
        image, named[name.replace("_", "")], magnitude, interpolation=v2.InterpolationMode.NEAREST, fill=fills
    )


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("sign", [1, -1])
def test_each_is_torchvisions(pictures, name, sign):
    images = pictures(8)
    amount = AMOUNTS.get(name, 0.6) * (sign if name in SIGNED else 1)
    codes, magnitudes = torch.full((8,), CODES[name]), torch.full((8,), amount, dtype=torch.float64)
    found = apply(images, codes, magnitudes, 128)
    expected = torch.stack([theirs(image, name, amount, 128) for image in images])
    assert ((found.int() - expected.int()).abs() > 1).float().mean() < 2e-3  # places half-way between two pixels
    assert (found != expected).float().mean() < 5e-3
    assert (name == "identity") == torch.equal(found, images)


def test_each_image_gets_what_it_drew(pictures):
    images = pictures(45)
    codes = torch.arange(45) % len(OPERATIONS)
    magnitudes = torch.tensor([AMOUNTS.get(name, 0.6) for name in OPERATIONS], dtype=torch.float64)[codes]
    together = apply(images, codes, magnitudes, 0)
    for row in range(45):
        one = slice(row, row + 1)
        assert torch.equal(together[one], apply(images[one], codes[one], magnitudes[one], 0)), OPERATIONS[codes[row]]
