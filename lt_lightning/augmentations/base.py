"""What every augmentation is, and how several make one."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.checks import kind_of, type_of
from lt_lightning.wording import class_path


class Augmentation(ABC):
    """Base of augmentations, which change each image of a training batch by draws of its own.

    Data modules take one by ``class_path``; it comes after crop and flip and before normalisation.

    Draws are made on the generator's device and then moved to the images', as :func:`draw_uniform` does it: training on
    a GPU brings a generator of that GPU, extraction one on the CPU, so that every device gets the same views.
    """

    @abstractmethod
    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Change a batch.

        Args:
            images: ``(B, C, H, W)``, uint8, on any device; not changed in place.
            generator: Source of all draws, on the images' device or on the CPU; ``None`` uses the CPU's default one.

        Returns:
            ``(B, C, H, W)``, uint8.
        """

    @property
    def changes(self) -> bool:
        """Whether images are changed at all, and so have more views than crops and mirror images."""
        return True

    def describe(self) -> dict[str, Any]:
        """Plain values that tell this augmentation from another: its class and every public option."""
        options = {name: _plain(value) for name, value in vars(self).items() if not name.startswith("_")}
        return {"class": class_path(self), **options}


def augment(augmentation: Augmentation, images: Tensor, generator: torch.Generator | None) -> Tensor:
    """Apply an augmentation to a batch, and see that normalisation can follow it.

    Args:
        augmentation: Of this package or your own.
        images: ``(B, C, H, W)``, uint8.
        generator: Source of all draws.

    Raises:
        UsageError: If it gives something else than as many uint8 images: pixels in [0, 1] would come out black.
    """
    made: object = augmentation(images, generator)
    if isinstance(made, Tensor) and made.shape[:2] == images.shape[:2] and made.dtype == images.dtype:
        return made
    raise UsageError(
        f"`data.augmentation` {type(augmentation).__name__} must give images of shape {tuple(images.shape)} and type "
        f"{type_of(images)}, as it gets them, but gave {kind_of(made)}."
    )


class NoAugmentation(Augmentation):
    """Images as they are."""

    @property
    def changes(self) -> bool:
        """It leaves all images alone."""
        return False

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """The batch itself."""
        return images


class AugmentationChain(Augmentation):
    """Several augmentations, one after another.

    Args:
        steps: In the order they are applied, such as ``AutoAugment`` and ``Cutout``.

    Raises:
        UsageError: If there is none.
    """

    def __init__(self, steps: Sequence[Augmentation]) -> None:
        if not steps:
            raise UsageError("`steps` of `AugmentationChain` must name at least one augmentation, but is empty.")
        self.steps = list(steps)

    @property
    def changes(self) -> bool:
        """Whether one of the steps does."""
        return any(step.changes for step in self.steps)

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Apply the steps in order."""
        for step in self.steps:
            images = step(images, generator)
        return images


def draw_uniform(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw a number for each image where the generator is, and move it to where the images are.

    Args:
        images: ``(B, ...)``, on any device.
        generator: Source of the draws, on any device; ``None`` uses the CPU's default one.

    Returns:
        Uniform in [0, 1), fp32, on the images' device, ``(B, 1, ..., 1)`` with as many dimensions as ``images``.
    """
    where = "cpu" if generator is None else generator.device
    drawn = torch.rand(len(images), *[1] * (images.ndim - 1), generator=generator, device=where, dtype=torch.float32)
    return drawn.to(images.device, non_blocking=True)


def host_generator(generator: torch.Generator | None) -> torch.Generator | None:
    """A generator on the CPU whose draws follow from a given one.

    Which image gets which operation is decided on the CPU: the device then need not be asked how many images an
    operation is for, which would make the process wait for it.

    Args:
        generator: On any device; one on the CPU is given back. Another one moves on by a draw, so that the next call
            gives other draws.
    """
    return generator if generator is None or generator.device.type == "cpu" else _derived(generator)


def _derived(generator: torch.Generator) -> torch.Generator:
    # A generator's state lies on the host, whatever its device: reading it makes nobody wait.
    digest = hashlib.sha256(generator.get_state().numpy().tobytes()).digest()
    torch.rand(1, generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


def check_fill(fill: int, name: str) -> None:
    """Refuse a ``fill`` that is no value of a pixel.

    Args:
        fill: Value of ``fill``.
        name: Class that has the argument.

    Raises:
        UsageError: If it does not lie in [0, 255].
    """
    if not 0 <= fill <= 255:
        raise UsageError(f"`fill` of `{name}` must lie in [0, 255], but got {fill}.")


def _plain(value: Any) -> Any:
    if isinstance(value, Augmentation):
        return value.describe()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Tensor):  # its repr leaves numbers out
        return value.tolist()
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
