"""Work that two processes share: by a function, of which this one does a part, or by a command that both run."""

import multiprocessing
import os
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

PATIENCE = timedelta(minutes=5)


def in_two_processes(work: Callable[[int], Any], folder: Path) -> tuple[Any, Any]:
    """What ``work(0)`` gives here and ``work(1)`` in another process, in a group of both.

    Args:
        work: A function of a module, which the other process looks up there; tensors, lists and numbers come back.
        folder: Empty.
    """
    process = multiprocessing.get_context("forkserver").Process(target=_second, args=(work, folder), daemon=True)
    process.start()
    try:
        here = _joined(work, 0, folder)
        process.join(timeout=PATIENCE.total_seconds())
        assert process.exitcode == 0
    finally:
        process.kill()
    return here, torch.load(folder / "1.pt")


def command_in_two_processes(main: Callable[[Sequence[str]], None], arguments: Sequence[str], folder: Path) -> None:
    """Run a command as ``torchrun`` would, on both processes.

    Args:
        main: Of the command.
        arguments: The whole line.
        folder: Where it runs.
    """
    given = (main, arguments, folder)
    torch.multiprocessing.start_processes(_command, given, nprocs=2, start_method="forkserver")


def join(rank: int, folder: Path) -> None:
    """Become one of a group of two, who meet in a folder."""
    where = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=2, timeout=PATIENCE)


def _joined(work: Callable[[int], Any], rank: int, folder: Path) -> Any:
    join(rank, folder)
    try:
        return work(rank)
    finally:
        dist.destroy_process_group()


def _second(work: Callable[[int], Any], folder: Path) -> None:
    torch.save(_joined(work, 1, folder), folder / "1.pt")


def _command(rank: int, main: Callable[[Sequence[str]], None], arguments: Sequence[str], folder: Path) -> None:
    from lightning.pytorch.utilities import rank_zero_only

    warnings.simplefilter("ignore")
    os.chdir(folder)
    rank_zero_only.rank = rank
    _joined(lambda _: main(arguments), rank, folder)
