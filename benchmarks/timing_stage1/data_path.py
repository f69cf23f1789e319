"""The transforms of training images alone."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from measuring import Timed, in_turns, spread
from timed_fit import now
from torch.utils.data import DataLoader, Subset

from lt_lightning.data.crop_table import CropTable
from lt_lightning.data.in_memory import InMemoryImages, InMemoryLT
from timing_stage1.loops import WORKERS, pil


def data_path(data: InMemoryLT, arguments: argparse.Namespace) -> dict[str, Timed]:
    """Images per second of the transforms alone, an epoch of batches of 128 each time, workers' start included."""
    held = cast(InMemoryImages, data.load("train"))
    order = torch.randperm(len(held))[: arguments.data_images]
    generator = torch.Generator(arguments.device).manual_seed(0)
    images = held.images.to(arguments.device)
    table = CropTable(images, data.crop_padding, data.flip, images.device)

    def from_table() -> int:
        for rows in order.to(arguments.device).split(128):
            data.finish(table.draw(rows, generator), training=True, generator=generator)
        return len(order)

    def from_images() -> int:
        for rows in order.to(arguments.device).split(128):
            data.to_input(images.index_select(0, rows), training=True, generator=generator)
        return len(order)

    def by_pil(workers: int) -> Callable[[], int]:
        loader = DataLoader(Subset(pil(data, "train"), order.tolist()), 128, num_workers=workers)
        return lambda: sum(len(targets) for _, targets in loader)

    candidates = {"batches, from a table of crops": from_table, "batches, from the images": from_images}
    candidates["PIL, in this process"] = by_pil(0)
    candidates |= {f"PIL, {workers} workers": by_pil(workers) for workers in (2, WORKERS)}

    def rate(candidate: Callable[[], int]) -> float:
        began = now()
        number = candidate()
        return number / (now() - began)

    from_table(), from_images()
    rates = in_turns({name: partial(rate, candidate) for name, candidate in candidates.items()}, arguments.rounds)
    return {name: spread(found) for name, found in rates.items()}
