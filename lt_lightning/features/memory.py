"""Whether features find room in memory, asked before anything is extracted."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lt_lightning.errors import UsageError
from lt_lightning.features.views import Layout
from lt_lightning.processes import on_first
from lt_lightning.wording import human

_MACHINE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def check_memory(layouts: Sequence[Layout]) -> None:
    """Refuse features that memory cannot hold; every process of a machine holds all of them.

    Raises:
        UsageError: If they need more than there is, where the system tells how much that is.
    """
    need, times = in_all_processes(sum(layout.nbytes for layout in layouts))
    free = on_first(available_memory)
    if free is None or need <= free:
        return
    largest = max(layouts, key=lambda layout: layout.nbytes)
    raise UsageError(
        f"`features.cache` is empty, so features are kept in memory, and {human(need)} for up to {largest.views} "
        f"view{'' if largest.views == 1 else 's'} of {largest.images:,} images × {largest.features}{times} are more "
        f"than the {human(free)} available; name a folder by `features.cache`, from which they are mapped, or take "
        f"fewer `views` or a smaller `features.dtype`."
    )


def in_all_processes(nbytes: int) -> tuple[int, str]:
    """Bytes that all processes of this machine take if each takes ``nbytes``; if several, their number in words."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return processes * nbytes, f", {processes} times, once for each process," if processes > 1 else ""


def available_memory() -> int | None:
    """Bytes that this process may still take, by machine and by control group; ``None`` if neither says."""
    found = [free for free in (_of_machine(), _of_group()) if free is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in _MACHINE.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def _of_group() -> int | None:
    """What a container may still take; its file pages count as used, though they are freed when needed."""
    with suppress(OSError, ValueError, KeyError):
        limit, used = (int((_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        pages = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(pages["inactive_file"]))
    return None
