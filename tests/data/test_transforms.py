import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from lt_lightning.data.transforms import eval_transform, padded_transform, train_transform


def test_the_evaluation_crop_is_the_middle_of_the_resized_image():
    image = Image.new("RGB", (64, 128), (9, 9, 9))
    image.paste((200, 200, 200), (0, 48, 64, 80))
    tensor = eval_transform(28, 32)(image)  # shorter side 32, so 32 x 64, and the middle 28 x 28 of it
    assert tensor.shape == (3, 28, 28)
    assert tensor.dtype == torch.uint8
    assert tensor[:, 14, 14].tolist() == [200] * 3
    assert tensor[:, 0, 0].tolist() == [9] * 3


@pytest.mark.parametrize("size", [(128, 2), (2, 128), (129, 2), (5, 999), (7000, 20)])
def test_of_a_thin_image_the_middle_is_what_it_is_in_the_whole(size):
    image = Image.effect_noise(size, 50).convert("RGB")
    whole = v2.Compose([v2.Resize(32), v2.CenterCrop(28), v2.PILToTensor()])(image)
    off = (eval_transform(28, 32)(image).int() - whole.int()).abs().max().item()
    # Up to 64:1 bit by bit; beyond that the sizes are rounded otherwise, by less than a pixel.
    assert off == 0 if max(size) <= 64 * min(size) else off <= 16


@pytest.mark.parametrize("size", [(7_000_001, 1), (1, 7_000_001)])
def test_of_a_very_thin_image_no_more_than_the_middle_is_resized(size):
    """As a whole it would become longer than any image that Pillow makes."""
    image = Image.new("RGB", size, (9, 9, 9))
    image.putpixel((size[0] // 2, size[1] // 2), (200, 200, 200))
    for transform in (eval_transform(28, 320), padded_transform(28, 320, 0)):
        tensor = transform(image)
        assert tensor.shape == (3, 28, 28)
        assert tensor.min().item() > 180
    assert train_transform(28)(image).shape == (3, 28, 28)


def test_a_padded_crop_moves_the_middle_by_up_to_the_padding():
    image = Image.new("RGB", (16, 16), (9, 9, 9))
    image.putpixel((8, 8), (200, 200, 200))
    assert torch.equal(padded_transform(16, 16, 0)(image), eval_transform(16, 16)(image))
    torch.manual_seed(0)
    shown = [padded_transform(16, 16, 3)(image) for _ in range(200)]
    places = {tuple((tensor[0] == 200).nonzero()[0].tolist()) for tensor in shown}
    assert all(tensor.shape == (3, 16, 16) for tensor in shown)
    assert {row for row, _ in places} == {column for _, column in places} == set(range(5, 12))
    (moved,) = [tensor for tensor in shown if tensor[0, 5, 5] == 200][:1]
    assert bool((moved[:, 13:] == 0).all())  # the border is black
