"""Colours, against torchvision image by image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from lt_lightning.functional import colors


def pictures(seed, count, channels, size=32):
    """Noise, dark noise, a flat image and gradients."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    images[1::4] //= 16
    images[2::4] = 7
    slope = torch.linspace(0, 255, size)[:, None] * torch.rand(len(images[3::4]), channels, 1, size)
    images[3::4] = slope.to(torch.uint8)
    return images


FACTORS = {
    "adjust_brightness": reference.adjust_brightness,
    "adjust_saturation": reference.adjust_saturation,
    "adjust_contrast": reference.adjust_contrast,
    "adjust_sharpness": reference.adjust_sharpness,
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FACTORS)
@given(seed=st.integers(0, 2**16))
@settings(max_examples=5)
def test_factors(name, channels, seed):
    images = pictures(seed, 12, channels)
    before = images.clone()
    factors = torch.rand(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    factors[:3] = torch.tensor([0.0, 1.0, 1.9])
    found = getattr(colors, name)(images, factors)
    pairs = zip(images, factors.tolist(), strict=True)
    expected = torch.stack([FACTORS[name](image, factor) for image, factor in pairs])
    assert torch.equal(images, before)
    assert found.dtype == torch.uint8
    # The order of a product and a sum may cost one step of 255 where a sum meets a whole number.
    different = (found.int() - expected.int()).abs()
    assert different.max() <= 1
    assert different.float().mean() < 1e-3
    assert torch.equal(found[1], images[1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["autocontrast", "equalize", "invert"])
@given(seed=st.integers(0, 2**16))
@settings(max_examples=5)
def test_without_amount(name, channels, seed):
    images = pictures(seed, 12, channels)
    expected = torch.stack([getattr(reference, name)(image) for image in images])
    assert torch.equal(getattr(colors, name)(images), expected)


@pytest.mark.parametrize("size", [15, 16, 22, 23])
def test_equalize_at_one_pixel_a_step_and_about_it(size):
    # 225 to 529 pixels: steps of 0, 1 and 2 pixels, by how many a channel has of its highest value.
    images = pictures(0, 8, 3, size)
    assert torch.equal(colors.equalize(images), torch.stack([reference.equalize(image) for image in images]))


def test_bits_and_thresholds():
    images = pictures(0, 27, 3)
    bits = torch.arange(27) % 9
    expected = torch.stack([reference.posterize(image, int(n)) for image, n in zip(images, bits, strict=True)])
    assert torch.equal(colors.posterize(images, bits.double() + 0.9), expected)
    thresholds = torch.linspace(0, 255, 27, dtype=torch.float64)
    pairs = zip(images, thresholds.tolist(), strict=True)
    expected = torch.stack([reference.solarize(image, threshold) for image, threshold in pairs])
    assert torch.equal(colors.solarize(images, thresholds), expected)
    assert torch.equal(colors.solarize(images, torch.full((27,), 255.5)), images)


@pytest.mark.parametrize("size", [1, 2])
def test_images_too_small_to_sharpen_stay(size):
    images = pictures(0, 4, 3, size)
    assert torch.equal(colors.adjust_sharpness(images, torch.full((4,), 1.9)), images)


def test_channels_last():
    images = pictures(0, 8, 3)
    factors = torch.linspace(0, 2, 8, dtype=torch.float64)
    turned = images.contiguous(memory_format=torch.channels_last)
    for name in FACTORS:
        assert torch.equal(getattr(colors, name)(turned, factors), getattr(colors, name)(images, factors)), name
    for name in ("autocontrast", "equalize"):
        assert torch.equal(getattr(colors, name)(turned), getattr(colors, name)(images)), name
