"""Geometry, against torchvision image by image."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from lt_lightning.functional import warps

HEIGHT, WIDTH = 12, 17
LARGEST = {"shear_x": 1, "shear_y": 1, "translate_x": 15, "translate_y": 11, "rotate": 180}


def matrices(name, amounts):
    more = {"shear_x": (HEIGHT,), "shear_y": (WIDTH,)}.get(name, ())
    return getattr(warps, name)(amounts, *more)


def expected(name, image, amount, fill):
    fill = [float(fill)] * len(image)
    if name == "rotate":
        return reference.rotate(image, amount, fill=fill)
    options = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], "fill": fill}
    axis = int(name.endswith("y"))
    if name.startswith("shear"):
        options["shear"][axis] = math.degrees(math.atan(amount))
        return reference.affine(image, **options, center=[0, 0])
    options["translate"][axis] = int(amount)
    return reference.affine(image, **options)


@pytest.mark.parametrize("name", LARGEST)
@given(seed=st.integers(0, 2**16), fill=st.sampled_from([0, 128, 255]))
@settings(max_examples=5)
def test_warps(name, seed, fill):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (40, 3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
    amounts = (torch.rand(40, generator=generator, dtype=torch.float64) * 2 - 1) * LARGEST[name]
    amounts[0] = 0
    found = warps.warp(images, matrices(name, amounts), fill)
    wanted = torch.stack([expected(name, *pair, fill) for pair in zip(images, amounts.tolist(), strict=True)])
    # A place half-way between two pixels may go either way.
    assert (found != wanted).float().mean() < 2e-3
    assert torch.equal(found[0], images[0])
    if name.startswith("translate"):
        assert torch.equal(found, wanted)


def test_a_warp_takes_each_images_own_matrix():
    images = torch.arange(3 * 16, dtype=torch.uint8).view(3, 1, 4, 4)
    found = warps.warp(images, warps.translate_x(torch.tensor([0.0, 1.0, -1.0])), 255)
    assert torch.equal(found[0], images[0])
    assert torch.equal(found[1, 0, :, 1:], images[1, 0, :, :-1])
    assert torch.equal(found[2, 0, :, :-1], images[2, 0, :, 1:])
    assert (found[1, 0, :, 0] == 255).all()


def test_four_quarter_turns_are_none():
    images = torch.randint(0, 256, (1, 3, 9, 9), dtype=torch.uint8)
    turned = images
    for _ in range(4):
        turned = warps.warp(turned, warps.rotate(torch.tensor([90.0])))
    assert torch.equal(turned, images)
    assert torch.equal(warps.warp(images, warps.rotate(torch.tensor([90.0]))), images.rot90(1, (2, 3)))
