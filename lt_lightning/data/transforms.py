"""How an image of any size becomes a tensor of the network's size: a random crop, or the middle."""

from collections.abc import Callable
from typing import Any

from PIL import Image
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_LONGEST = 64  # times the shorter side; far more than any crop and the filter that resizes it reach


def train_transform(image_size: int) -> Callable[[Image.Image], Tensor]:
    """Random crop of 8 to 100 % of the area; other augmentation is done to whole batches."""
    from torchvision.transforms import v2  # here, because sets in memory do not need it

    return _to_pixels(v2.RandomResizedCrop(image_size))


def padded_transform(image_size: int, resize: int, padding: int) -> Callable[[Image.Image], Tensor]:
    """The crop of evaluation, moved by up to ``padding`` pixels in each direction over a black border."""
    from torchvision.transforms import v2

    crops = (v2.CenterCrop(image_size), v2.RandomCrop(image_size, padding=padding))
    return _to_pixels(_shorten, v2.Resize(resize), *crops)


def eval_transform(image_size: int, resize: int) -> Callable[[Image.Image], Tensor]:
    """Shorter side to ``resize``, then the middle."""
    from torchvision.transforms import v2

    return _to_pixels(_shorten, v2.Resize(resize), v2.CenterCrop(image_size))


def resized_side(image_size: int) -> int:
    """Shorter side of an image before its middle of ``image_size`` is cut out: ImageNet's custom, 256 for 224."""
    return round(image_size * 256 / 224)


def _shorten(image: Image.Image) -> Image.Image:
    """The middle of a very thin image; any other as it is.

    Resized as a whole, an image of 65000 × 1 pixels would take gigabytes, of which the middle alone is kept.
    """
    width, height = image.size
    most = _LONGEST * min(width, height)
    if max(width, height) <= most:
        return image
    left, top = max(0, width - most) // 2, max(0, height - most) // 2
    return image.crop((left, top, width - left, height - top))  # as much from both ends: the middle stays the middle


def _to_pixels(*steps: Any) -> Callable[[Image.Image], Tensor]:
    """These steps, one after another, then the image as a tensor."""
    from torchvision.transforms import v2

    transform: Callable[[Image.Image], Tensor] = v2.Compose([*steps, v2.PILToTensor()])
    return transform
