"""Images from the files that torchvision's own data sets download."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lt_lightning.data.sources import ImageSource, SourceSplit
from lt_lightning.errors import UsageError
from lt_lightning.wording import one_line

_ERRORS = (AssertionError, OSError, RuntimeError, ValueError)
"""What torchvision says of files that it cannot fetch or read; the first of a file of zeros."""


class TorchvisionFiles(ImageSource):
    """A torchvision data set that keeps its images in an array: CIFAR or one of the MNIST family.

    Args:
        dataset: Class such as ``torchvision.datasets.CIFAR10``, called with ``(root, train=..., download=...)``.
        root: Folder that torchvision was or will be given.
    """

    def __init__(self, dataset: Callable[..., Any], root: Path) -> None:
        self._dataset = dataset
        self._root = root
        self._opened: tuple[SourceSplit, Any] | None = None

    def labels(self, split: SourceSplit) -> Tensor:
        """Classes of a split, ``(N,)``, int64."""
        return torch.as_tensor(self._open(split).targets, dtype=torch.int64)

    def images(self, split: SourceSplit, indices: Tensor) -> Tensor:
        """Rows asked for, ``(n, 1, H, W)`` or ``(n, 3, H, W)``."""
        picked = torch.as_tensor(self._open(split).data).index_select(0, indices)  # (n, H, W) or (n, H, W, 3)
        return picked.unsqueeze(1) if picked.ndim == 3 else picked.permute(0, 3, 1, 2).contiguous()

    def download(self) -> None:
        """Fetch what is missing, in torchvision's layout.

        Raises:
            UsageError: If it cannot be fetched, or files that are there already are damaged.
        """
        try:
            self._dataset(str(self._root), train=True, download=True)
            self._dataset(str(self._root), train=False, download=True)
        except _ERRORS as error:
            if not isinstance(error, OSError) and self._is_damaged():
                raise self._unreadable(error) from error
            cause = one_line(error)  # torchvision gives each address a line
            raise UsageError(f"`download=True` could not fetch the files into `root` {self._root}: {cause}.") from error

    def _open(self, split: SourceSplit) -> Any:
        # One split is kept: labels and images of a split are asked for in a row, and an array may weigh 150 MB.
        if self._opened is None or self._opened[0] != split:
            try:
                dataset = self._dataset(str(self._root), train=split == "train", download=False)
            except _ERRORS as error:
                raise self._unreadable(error) from error
            self._opened = (split, dataset)
        return self._opened[1]

    def _is_damaged(self) -> bool:
        """Whether files are there that torchvision takes for whole, and cannot read."""
        try:
            for train in (True, False):
                self._dataset(str(self._root), train=train, download=False)
        except _ERRORS as error:
            return "download=True" not in str(error)  # which it advises where files are missing
        return False

    def _unreadable(self, error: Exception) -> UsageError:
        cause = one_line(error) or type(error).__name__
        return UsageError(
            f"torchvision cannot read its files in `root` {self._root}: {cause}; delete them and use `download=True`."
        )
