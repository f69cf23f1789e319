"""Angles between the rows of a matrix."""

import torch
from torch import Tensor

from lt_lightning.functional.classifiers import directions
from lt_lightning.functional.precision import outside_autocast

ROWS = 1024
"""Rows compared with all others at a time: K × K cosines would not fit for many classes."""


def row_cosines(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and largest cosine of the angles between each row and all other rows.

    Args:
        weight: ``(K, D)``, K at least 2. An all-zero row has cosine 0 with all.

    Returns:
        Two tensors ``(K,)``, in fp32 at least.
    """
    with outside_autocast(weight):
        rows = directions(weight)
        others = rows.sum(dim=0) - rows
        mean = (rows * others).sum(dim=1) / (len(rows) - 1)
        largest = []
        for start in range(0, len(rows), ROWS):
            cosines = rows[start : start + ROWS] @ rows.t()
            cosines.diagonal(start).fill_(-torch.inf)
            largest.append(cosines.amax(dim=1))
        return mean, torch.cat(largest)
