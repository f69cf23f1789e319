"""Averages over mirror images."""

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.functional.flip_averaging import flip_averaged


def test_an_image_and_its_mirror_image_have_the_same_mean():
    images = torch.randn(3, 2, 4, 5)
    weight = torch.randn(4 * 5 * 2, 6)

    def forward(images):
        return images.flatten(1) @ weight

    found = flip_averaged(forward, images)
    torch.testing.assert_close(found, (forward(images) + forward(images.flip(3))) / 2)
    torch.testing.assert_close(found, flip_averaged(forward, images.flip(3)))
    assert not torch.allclose(found, forward(images))


def test_videos_have_mirror_images_too():
    videos = torch.randn(2, 1, 3, 4, 5)
    found = flip_averaged(lambda images: images.flatten(1), videos)
    torch.testing.assert_close(found, ((videos + videos.flip(4)) / 2).flatten(1))


@pytest.mark.parametrize("shape", [(3, 20), (3, 2, 20)])
def test_what_has_no_mirror_image_is_refused(shape):
    with pytest.raises(UsageError, match=r"`flip_average`.* but got inputs of shape \(3, .*20\); leave it out"):
        flip_averaged(torch.flatten, torch.zeros(shape))
