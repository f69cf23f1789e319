"""The training loop that published long-tail code shares, written plainly: what this package is measured against.

Images are transformed one at a time by PIL in a ``DataLoader``, the network runs in fp32 with contiguous tensors, the
loss and the hits of every step are read back with ``.item()``, and the whole test set is classified after each epoch.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import transforms


class PILImages(Dataset[tuple[Tensor, int]]):
    """Images one at a time, stored and transformed as torchvision's CIFAR classes do.

    Args:
        images: ``(N, C, H, W)``, uint8, square.
        targets: ``(N,)``, int64.
        mean: Mean of each channel, on the scale of [0, 1].
        std: Standard deviation of each channel.
        training: Whether to crop from a black border of 4 pixels and to flip.
    """

    def __init__(
        self, images: Tensor, targets: Tensor, mean: tuple[float, ...], std: tuple[float, ...], training: bool
    ) -> None:
        self.pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.targets = targets.tolist()
        drawn = [transforms.RandomCrop(images.shape[-1], padding=4), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                *(drawn if training else []),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pixels[index]), self.targets[index]


class Meter:
    """A running mean of numbers on the host."""

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def update(self, value: float, number: int) -> None:
        """Add the mean ``value`` of ``number`` images."""
        self.sum += value * number
        self.count += number

    @property
    def mean(self) -> float:
        """Mean over all images so far."""
        return self.sum / max(1, self.count)


class PublishedLoop:
    """A network and its optimiser, trained and tested as published code does.

    Args:
        network: From ``(N, C, H, W)`` to logits ``(N, K)``.
        optimizer: Of the network's parameters.
        device: Where the network is.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, device: str = "cpu") -> None:
        self.network, self.optimizer, self.device = network, optimizer, device
        self.losses, self.hits = Meter(), Meter()

    def step(self, images: Tensor, targets: Tensor) -> None:
        """One step of cross entropy, its loss and accuracy read back."""
        images, targets = images.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)
        logits = self.network(images)
        loss = F.cross_entropy(logits, targets)
        self.losses.update(loss.item(), len(targets))
        self.hits.update((logits.argmax(dim=1) == targets).float().mean().item(), len(targets))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def train(self, loader: Iterable[tuple[Tensor, Tensor]]) -> None:
        """One epoch."""
        self.losses, self.hits = Meter(), Meter()
        self.network.train()
        for images, targets in loader:
            self.step(images, targets)

    def test(self, loader: Iterable[tuple[Tensor, Tensor]], num_classes: int) -> tuple[Tensor, Tensor]:
        """Classify all images.

        Returns:
            How many of each class were right, and how many there are: two of ``(K,)``, int64.
        """
        self.network.eval()
        correct, total = torch.zeros(2, num_classes, dtype=torch.int64)
        with torch.no_grad():
            for images, targets in loader:
                found = self.network(images.to(self.device, non_blocking=True)).argmax(dim=1).cpu()
                correct += torch.bincount(targets[found == targets], minlength=num_classes)
                total += torch.bincount(targets, minlength=num_classes)
        return correct, total
