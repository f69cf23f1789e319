"""Images on disk, read a batch at a time by worker processes."""

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Sampler

from lt_lightning.data.base import Batch
from lt_lightning.data.pixels import DAMAGED, eight_bits
from lt_lightning.errors import UsageError
from lt_lightning.samplers import ShardedBatchSampler
from lt_lightning.seeds import Stream, run_seed, seed_from


class PackedPaths(Sequence[str]):
    """Paths in one piece of memory, each made as it is asked for.

    Of a list of a million, every worker process would copy the pages it looks at, for looking counts references.

    Args:
        paths: In their order.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        joined, self._ends = bytearray(), array("q", [0])
        for path in paths:
            joined += str(path).encode(errors="surrogatepass")  # whatever bytes a name has
            self._ends.append(len(joined))
        self._joined = bytes(joined)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        places = range(len(self))[place]  # as of a list: from the end, too
        if isinstance(places, range):
            return [self[each] for each in places]
        return self._joined[self._ends[places] : self._ends[places + 1]].decode(errors="surrogatepass")


@dataclass(frozen=True)
class FileList:
    """The images of one split, none of them read.

    Attributes:
        paths: Paths relative to the data folder, with forward slashes; kept packed.
        targets: Class of each, ``(N,)``, int64.
    """

    paths: Sequence[str]
    targets: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.paths, PackedPaths):
            object.__setattr__(self, "paths", PackedPaths(self.paths))

    def rows(self, indices: Tensor) -> "FileList":
        """The entries at ``indices``."""
        return FileList([self.paths[i] for i in indices.tolist()], self.targets[indices])

    def counts(self, num_classes: int) -> list[int]:
        """Images of each class."""
        counts: list[int] = torch.bincount(self.targets, minlength=num_classes).tolist()
        return counts


class SeededBatch(list[int]):
    """Indices of a training batch, with the seed from which its images are cropped."""

    seed: int

    def __init__(self, indices: Sequence[int], seed: int) -> None:
        super().__init__(indices)
        self.seed = seed


class SeededBatches(Sampler[list[int]]):
    """Gives each batch a seed made of (run, epoch, step, process).

    So what an epoch shows depends neither on the number of workers nor on whether the run was interrupted.

    Args:
        batches: The batches of this process.
    """

    def __init__(self, batches: ShardedBatchSampler) -> None:
        self.batches = batches
        self.sampler = batches.sampler  # where Lightning looks for `set_epoch`

    def __iter__(self) -> Iterator[list[int]]:
        first = self.batches.skip_batches
        for step, indices in enumerate(self.batches, start=first):
            yield SeededBatch(
                indices, seed_from(Stream.READING, run_seed(), self.sampler.epoch, step, self.batches.rank)
            )

    def __len__(self) -> int:
        return len(self.batches)


class FileImages:
    """Images on disk, read a batch at a time.

    Args:
        root: Folder that the paths are relative to.
        files: Paths and classes.
        transform: Makes a ``(3, H, W)`` uint8 tensor from an RGB image; its random draws come from torch's generator.
        image_bytes: Size of that tensor, if known.
    """

    def __init__(
        self,
        root: Path,
        files: FileList,
        transform: Callable[[Image.Image], Tensor],
        image_bytes: int | None = None,
    ) -> None:
        self.root = root
        self.paths = files.paths
        self.targets = files.targets
        self.transform = transform
        self.image_bytes = image_bytes

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Images ``(B, 3, H, W)``, uint8, and their classes ``(B,)``."""
        if not isinstance(indices, SeededBatch):
            return self._read(indices)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(indices.seed)
            return self._read(indices)

    def _read(self, indices: list[int]) -> Batch:
        images = [self._prepare(self.root / self.paths[i]) for i in indices]
        return torch.stack(images), self.targets[torch.tensor(indices, dtype=torch.int64)]

    def _prepare(self, path: Path) -> Tensor:
        try:
            return self.transform(read_rgb(path))
        except MemoryError as error:
            raise UsageError(
                f"The image {path} takes more memory than there is; replace it by a smaller one, remove it, or use "
                f"fewer `data.num_workers`."
            ) from error


def read_rgb(path: Path) -> Image.Image:
    """Read an image as RGB; grey numbers of 16 bits are scaled to 8.

    Raises:
        UsageError: If the file is missing, damaged or not an image, or its pixels are numbers of 32 bits.
    """
    try:
        with Image.open(path) as image:
            found = eight_bits(image, "RGB")
            return found.copy() if found is image else found  # a copy outlives the open file
    except DAMAGED as error:
        raise UsageError(
            f"The image {path} cannot be read ({error}); replace it, remove it, or leave such images out with "
            f"`data.skip_unreadable`."
        ) from error


def worker_processes(wanted: int) -> int:
    """As many as wanted, but no more than this process has cores: torch warns of more."""
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    return min(wanted, len(affinity(0)) if affinity else os.cpu_count() or 1)
