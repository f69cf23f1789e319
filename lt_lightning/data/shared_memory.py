"""Whether the batches of worker processes find room where they are handed over.

torch sends each batch through shared memory, on Linux files below ``/dev/shm``, of which a container has 64 MB by
default. A worker that finds no room there says so, but its batch never comes, and the command would wait for ever.
"""

import os
import shutil
import warnings
from collections.abc import Sized
from contextlib import suppress
from pathlib import Path

from lightning.pytorch import Trainer

from lt_lightning.errors import UsageError
from lt_lightning.processes import is_first
from lt_lightning.wording import human

_PLACE = Path("/dev/shm")


def batches_ahead(images: Sized, size: int, number: int, workers: int, trainer: Trainer | None) -> int | None:
    """How many batches each worker may read ahead, as ``prefetch_factor`` of a loader that is about to be made.

    Args:
        images: What is read; where it does not say how many ``image_bytes`` one takes, nothing is checked.
        size: Images of the largest batch.
        number: Batches that there are.
        workers: Processes that read them.
        trainer: Knows how many such loaders this machine has; without one, the launcher does.

    Returns:
        2, as by torch's default, or 1 where that many may find no room; ``None`` leaves it to torch.

    Raises:
        UsageError: If not even one batch of each worker finds room.
    """
    image: int | None = getattr(images, "image_bytes", None)
    free = free_room(_PLACE)
    if not workers or not number or image is None or free is None:
        return None
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if trainer is None else trainer.num_devices
    batch = min(processes * size, len(images)) * image
    least = min(workers, number) * batch
    if least > free:
        raise UsageError(
            f"`data.num_workers` {workers} need at least {human(least)} of {_PLACE}, through which they hand batches "
            f"over, but {human(free)} are free; take fewer (0 need none), or give the container more by `--shm-size`."
        )
    # Training and validation hold batches at the same time. One batch is being used.
    loaders = 2 if trainer is not None and trainer.state.fn == "fit" else 1
    most = {ahead: loaders * min(ahead * workers + 1, number) * batch for ahead in (2, 1)}
    for ahead, need in most.items():
        if need <= free:
            return ahead
    if is_first():
        warnings.warn(
            f"`data.num_workers` {workers} may need {human(most[1])} of {_PLACE}, of which {human(free)} are free: if "
            f"no batch comes, take fewer, or give the container more by `--shm-size`.",
            stacklevel=2,
        )
    return 1


def free_room(place: Path) -> int | None:
    """Bytes free where a file system is mounted; ``None`` where there is none, or one without a limit."""
    with suppress(OSError):
        found = shutil.disk_usage(place)
        return found.free if found.total else None
    return None
