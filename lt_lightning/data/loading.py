"""A loader of whole batches."""

import multiprocessing
from collections.abc import Iterator, Sized
from typing import Any

from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from lt_lightning.data.shared_memory import batches_ahead


class LateLoader(DataLoader[tuple[Tensor, Tensor]]):
    """A loader that draws nothing before its first batch is asked for.

    Worker processes fetch ahead as soon as an iterator exists, which in a resumed run is before Lightning has told the
    sampler which epoch it is.
    """

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:  # type: ignore[override]
        yield from super().__iter__()


def options_of_workers(images: Sized, size: int, number: int, workers: int, trainer: Trainer | None) -> dict[str, Any]:
    """What a loader that is about to be made needs to be given for its worker processes.

    Args:
        images: What it reads.
        size: Images of the largest batch.
        number: Batches that there are.
        workers: How many processes it has.
        trainer: Whose loader it is, if anybody's.

    Raises:
        UsageError: If shared memory has no room for their batches.
    """
    spare_imports()
    ahead = batches_ahead(images, size, number, workers, trainer)
    return {"num_workers": workers, "prefetch_factor": ahead, "collate_fn": as_is}


def spare_imports() -> None:
    """Have workers come from a process that has imported what all of them need, where they are not forked from ours.

    So it is on Linux from Python 3.14. Each of them would otherwise take seconds, and 460 MB, for torch alone. Once
    such a process runs, this changes nothing.
    """
    chosen = multiprocessing.get_start_method(allow_none=True)  # without making the choice
    if (chosen or multiprocessing.get_all_start_methods()[0]) == "forkserver" and _nobody_has_chosen_what():
        multiprocessing.set_forkserver_preload(["__main__", "lt_lightning.data", "torchvision.transforms.v2"])


def _nobody_has_chosen_what() -> bool:
    """Whether the list of what is imported there is still Python's own; it has no public name."""
    from multiprocessing import forkserver  # Windows has none

    return bool(getattr(forkserver, "_forkserver")._preload_modules == ["__main__"])  # noqa: B009


def as_is(batch: Any) -> Any:
    """What is collated already: ``__getitems__`` has made the batch."""
    return batch
