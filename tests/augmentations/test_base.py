"""What every augmentation must do: follow its generator, image by image, and change nothing in place."""

import json

import pytest
import torch

from lt_lightning import augmentations
from lt_lightning.augmentations import (
    Augmentation,
    AugmentationChain,
    AutoAugment,
    Cutout,
    NoAugmentation,
    draw_uniform,
)
from lt_lightning.augmentations.base import _derived, augment, host_generator
from lt_lightning.errors import UsageError
from tests.one_device import OneDevice

KINDS = ["AutoAugment", "Cutout", "RandAugment", "TrivialAugment"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=[*KINDS, "chain"])
def augmentation(request):
    if request.param == "chain":
        return AugmentationChain([AutoAugment(), Cutout()])
    return getattr(augmentations, request.param)()


def test_the_generator_decides(augmentation, pictures):
    images = pictures(64)
    before = images.clone()
    found = augmentation(images, seeded())
    assert found.dtype == torch.uint8
    assert found.shape == images.shape
    assert torch.equal(images, before)
    torch.manual_seed(1)
    assert torch.equal(augmentation(images, seeded()), found)
    assert not torch.equal(augmentation(images, seeded(1)), found)
    generator = seeded()
    assert not torch.equal(augmentation(augmentation(images, generator) * 0 + images, generator), found)


def test_images_do_not_depend_on_each_other(augmentation, pictures):
    images = pictures(64)
    found = augmentation(images, seeded())
    others = images.clone()
    others[::2] = pictures(32, seed=9)
    assert torch.equal(augmentation(others, seeded())[1::2], found[1::2])


def test_each_image_draws_its_own(augmentation, pictures):
    same = pictures(1).expand(200, -1, -1, -1)
    assert len(augmentation(same, seeded()).unique(dim=0)) > 15


def test_images_without_colour_and_in_another_format(augmentation, pictures):
    grey = pictures(64, channels=1)
    assert augmentation(grey, seeded()).shape == grey.shape
    images = pictures(64)
    turned = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augmentation(turned, seeded()), augmentation(images, seeded()))


def test_without_a_generator_the_default_one_decides(augmentation, pictures):
    images = pictures(64)
    torch.manual_seed(3)
    found = augmentation(images)
    torch.manual_seed(3)
    assert torch.equal(augmentation(images), found)


def test_descriptions_tell_augmentations_apart(augmentation):
    found = augmentation.describe()
    assert found["class"].endswith(type(augmentation).__name__)
    assert not any(name.startswith("_") for name in found)
    assert augmentation.changes


def test_a_chain_applies_its_steps_in_order(pictures):
    images, generator = pictures(32), seeded()
    by_hand = Cutout(8)(AutoAugment()(images, generator), generator)
    chain = AugmentationChain([AutoAugment(), Cutout(8)])
    assert torch.equal(chain(images, seeded()), by_hand)
    assert chain.describe()["steps"] == [AutoAugment().describe(), Cutout(8).describe()]
    assert AugmentationChain([Cutout(8)]).describe() != AugmentationChain([Cutout(4)]).describe()


def test_no_augmentation(pictures):
    images = pictures(4)
    assert NoAugmentation()(images) is images
    assert not NoAugmentation().changes
    assert not AugmentationChain([NoAugmentation()]).changes


def test_what_is_described_can_be_written_as_json():
    class Mine(Augmentation):
        def __init__(self):
            self.kernel = torch.arange(2000)  # printed, it would be shortened
            self.kind = torch.uint8
            self.names = {1: (None, "a", Cutout(length=2))}

        def __call__(self, images, generator=None):
            return images

    found = json.loads(json.dumps(Mine().describe()))
    assert found.pop("class").endswith("Mine")
    assert found == {
        "kernel": list(range(2000)),
        "kind": "torch.uint8",
        "names": {"1": [None, "a", Cutout(length=2).describe()]},
    }


def test_a_chain_of_nothing_is_refused():
    with pytest.raises(UsageError, match="`steps` of `AugmentationChain` must name at least one augmentation"):
        AugmentationChain([])


def test_draws_for_another_device_follow_from_its_generator():
    host = seeded()
    assert host_generator(host) is host
    assert host_generator(None) is None
    # As for a generator on a device, whose state is read and moved on.
    first, second = seeded(), seeded()
    draws = [torch.rand(4, generator=_derived(generator)) for generator in (first, second, first)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_numbers_are_drawn_where_the_generator_is_and_moved():
    images = torch.zeros(5, 3, 4, 4, dtype=torch.uint8)
    found = draw_uniform(images, seeded())
    assert torch.equal(found, torch.rand(5, 1, 1, 1, generator=seeded()))
    assert draw_uniform(images[:, 0], seeded()).shape == (5, 1, 1)
    with OneDevice():
        assert draw_uniform(images.to("meta"), seeded()).is_meta
    torch.manual_seed(3)
    found = draw_uniform(images)
    torch.manual_seed(3)
    assert torch.equal(draw_uniform(images), found)


def test_images_on_another_device_than_the_generator(augmentation):
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8, device="meta")
    with OneDevice():
        found = augmentation(images, seeded())
    assert found.is_meta
    assert found.shape == images.shape


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("fill", [-1, 256])
def test_fill_is_the_value_of_a_pixel(name, fill):
    with pytest.raises(UsageError, match=rf"`fill` of `{name}` must lie in \[0, 255\], but got {fill}"):
        getattr(augmentations, name)(fill=fill)


def test_every_public_name_is_an_augmentation():
    assert augmentations.__all__ == sorted(augmentations.__all__)
    kinds = [name for name in augmentations.__all__ if name != "draw_uniform"]
    assert all(issubclass(getattr(augmentations, name), Augmentation) for name in kinds)


def test_what_comes_out_otherwise_than_it_went_in_is_refused(pictures, augmentation):
    class Mine(Augmentation):
        def __init__(self, change):
            self.change = change

        def __call__(self, images, generator=None):
            return self.change(images)

    images = pictures(4)
    assert torch.equal(augment(augmentation, images, seeded()), augmentation(images, seeded()))
    assert augment(Mine(lambda images: images[..., 1:]), images, None).shape[-1] == images.shape[-1] - 1
    for change, found in (
        (lambda images: images / 255, r"a tensor of shape \(4, 3, .*\) and type float32"),
        (lambda images: images[:3], r"a tensor of shape \(3, 3, .* and type uint8"),
        (lambda images: (images, None), "a tuple"),
    ):
        with pytest.raises(UsageError, match=f"`data.augmentation` Mine must give images .* but gave {found}"):
            augment(Mine(change), images, None)
