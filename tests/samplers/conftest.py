"""Training sets made of class counts."""

from collections.abc import Callable

import pytest
import torch


@pytest.fixture(scope="session")
def targets_of() -> Callable[[list[int]], torch.Tensor]:
    """Makes targets with these counts, mixed, but always in the same order."""

    def make(counts: list[int]) -> torch.Tensor:
        targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        return targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(1))]

    return make
