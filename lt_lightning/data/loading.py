"""A loader of whole batches."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader


class LateLoader(DataLoader[tuple[Tensor, Tensor]]):
    """A loader that draws nothing before its first batch is asked for.

    Worker processes fetch ahead as soon as an iterator exists, which in a resumed run is before Lightning has told the
    sampler which epoch it is.
    """

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:  # type: ignore[override]
        yield from super().__iter__()


def as_is(batch: Any) -> Any:
    """What is collated already: ``__getitems__`` has made the batch."""
    return batch
