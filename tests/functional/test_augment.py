import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from lt_lightning.functional.augment import (
    crop_at,
    draw_coins,
    draw_offsets,
    normalize,
    random_crop,
    random_horizontal_flip,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(batch: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randint(1, 256, (batch, channels, height, width), generator=seeded(seed), dtype=torch.uint8)


@given(
    st.integers(1, 4), st.sampled_from([1, 3]), st.integers(2, 6), st.integers(2, 6), st.integers(1, 3), st.integers(0)
)
def test_each_output_is_one_of_the_crops_of_its_own_image(batch, channels, height, width, padding, seed):
    images = random_images(batch, channels, height, width)
    crops = random_crop(images, padding, seeded(seed % 2**31))
    assert crops.shape == images.shape
    assert crops.dtype == torch.uint8
    padded = pad(images, (padding,) * 4)
    for image, crop in zip(padded, crops, strict=True):
        legal = [
            image[:, top : top + height, left : left + width]
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        assert any(torch.equal(crop, one) for one in legal)


def test_all_offsets_are_equally_likely_and_independent_of_neighbours():
    padding, batch = 1, 9000
    image = torch.arange(1, 26, dtype=torch.uint8).view(1, 1, 5, 5)
    crops = random_crop(image.expand(batch, 1, 5, 5), padding, seeded())
    # The middle pixel of the crop tells its offset.
    middle = crops[:, 0, 2, 2].long() - 1
    offset = (middle // 5 - 1) * 3 + middle % 5 - 1
    counts = torch.bincount(offset, minlength=9)
    chi_square = ((counts - batch / 9) ** 2 / (batch / 9)).sum()
    assert chi_square < 26.1  # 99.9 % of chi-square with 8 degrees of freedom
    pairs = torch.bincount(offset[:-1:2] * 9 + offset[1::2], minlength=81)
    expected = batch / 2 / 81
    assert ((pairs - expected) ** 2 / expected).sum() < 124.9  # 80 degrees of freedom


def test_without_padding_images_stay_as_they_are():
    images = random_images(2, 3, 4, 4)
    assert random_crop(images, 0) is images


def test_flips_mirror_single_images_with_probability_one_half():
    images = random_images(4000, 1, 2, 3)
    images[..., 0], images[..., 2] = 1, 2  # no image equals its mirror
    flipped = random_horizontal_flip(images, seeded())
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert abs(mirrored.float().mean() - 0.5) < 3.3 * 0.5 / 4000**0.5
    # Neighbours differ as often as independent coins do.
    assert abs((mirrored[1:] != mirrored[:-1]).float().mean() - 0.5) < 3.3 * 0.5 / 4000**0.5


@given(st.integers(0, 2**31))
def test_an_equal_generator_state_gives_equal_output(seed):
    images = random_images(8, 3, 6, 6)
    assert torch.equal(random_crop(images, 2, seeded(seed)), random_crop(images, 2, seeded(seed)))
    assert torch.equal(random_horizontal_flip(images, seeded(seed)), random_horizontal_flip(images, seeded(seed)))


def test_the_default_generator_is_used_without_one():
    images = random_images(16, 3, 6, 6)
    torch.manual_seed(3)
    first = random_crop(images, 2), random_horizontal_flip(images)
    torch.manual_seed(3)
    again = random_crop(images, 2), random_horizontal_flip(images)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(random_crop(images, 2), first[0])


@pytest.mark.parametrize(("mean", "std"), [((0.5, 0.25, 0.1), (0.2, 0.3, 0.4)), ((0.1307,), (0.3081,))])
def test_normalize_standardises_each_channel(mean, std):
    images = random_images(5, len(mean), 4, 3)
    result = normalize(images, mean, std)
    assert result.dtype == torch.float32
    for channel, (m, s) in enumerate(zip(mean, std, strict=True)):
        expected = (images[:, channel].double() / 255 - m) / s
        torch.testing.assert_close(result[:, channel].double(), expected, rtol=1e-6, atol=2e-6)


def test_normalize_leaves_its_input_and_the_memory_format_alone():
    images = random_images(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    result = normalize(images, (0.5,) * 3, (0.5,) * 3)
    assert torch.equal(images, before)
    assert result.is_contiguous(memory_format=torch.channels_last)
    floats = torch.ones(1, 3, 2, 2)
    normalize(floats, (0.5,) * 3, (0.5,) * 3)
    assert torch.equal(floats, torch.ones(1, 3, 2, 2))


def test_a_crop_at_a_place_is_one_of_the_random_ones():
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5) + 1
    assert torch.equal(crop_at(images, 2, 2, 2), images)
    shifted = crop_at(images, 2, 0, 3)  # two rows up, one column to the right
    assert torch.equal(shifted[..., 2:, :4], images[..., :2, 1:])
    assert int(shifted[..., :2, :].sum() + shifted[..., 4].sum()) == 0
    drawn = random_crop(images, 1, torch.Generator().manual_seed(3))
    for image, crop in zip(images, drawn, strict=True):
        assert any(torch.equal(crop_at(image, 1, top, left), crop) for top in range(3) for left in range(3))


def test_no_draw_is_made_for_no_border():
    generator = seeded()
    before = generator.get_state()
    assert draw_offsets(3, 0, torch.device("cpu"), generator).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert torch.equal(generator.get_state(), before)
    offsets = draw_offsets(500, 2, torch.device("cpu"), generator)
    assert sorted(offsets.unique().tolist()) == [0, 1, 2, 3, 4]
    assert draw_coins(500, torch.device("cpu"), generator).dtype == torch.bool


@given(st.integers(1, 4), st.integers(2, 5), st.integers(2, 5))
def test_normalize_gives_the_same_numbers_in_either_memory_format(channels, height, width):
    images = random_images(3, channels, height, width)
    mean, std = [0.1 * c + 0.2 for c in range(channels)], [0.1 * c + 0.3 for c in range(channels)]
    other = normalize(images.contiguous(memory_format=torch.channels_last), mean, std)
    assert torch.equal(other, normalize(images, mean, std))
    assert other.is_contiguous(memory_format=torch.channels_last)
