"""Where features are put while they are extracted: in memory, or in a folder from which they are mapped.

A folder ``<name>`` holds ``features.bin``, the blocks one after the other, and ``record.json``. Until all of it is on
the disk it is called ``<name>.partial``, and each process notes its finished blocks and their checksums in a file of
its own, so that whoever comes next goes on from there. A lock keeps others waiting, and ends with its process.
"""

import errno
import json
import os
import shutil
import warnings
import zlib
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.features.joining import merge_
from lt_lightning.features.views import Block, Layout
from lt_lightning.locking import NoLocksError, file_lock, wait_to_hold
from lt_lightning.processes import on_first, rank_and_world_size, wait_for_all
from lt_lightning.wording import human

Checksums = dict[Block, int]


class Store(ABC):
    """Takes blocks of features from all processes and hands all of them to each; a context manager.

    Args:
        layout: Shape of the features.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def missing(self) -> list[Block]:
        """Blocks that no process has put yet, the same list in every process."""

    @abstractmethod
    def put(self, block: Block, rows: Tensor) -> None:
        """Keep one block: ``(B, D)``, on the CPU, of the layout's type."""

    @abstractmethod
    def finish(self) -> Tensor:
        """All features, ``(V, N, D)``; every process calls this when it has put its share."""


class MemoryStore(Store):
    """Keeps features in memory, all of them in each process.

    Args:
        layout: Shape of the features.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._values = torch.zeros(layout.views, layout.images, layout.features, dtype=layout.dtype)

    def missing(self) -> list[Block]:
        """All blocks: nothing is left of earlier runs."""
        return list(self.layout.blocks())

    def put(self, block: Block, rows: Tensor) -> None:
        """Copy a block."""
        self._values[block.view, block.start : block.stop] = rows

    def finish(self) -> Tensor:
        """Merge what the processes have."""
        merge_(self._values)
        return self._values


class DiskStore(Store):
    """Keeps features in a folder, which all processes see.

    Args:
        folder: For these features alone: other weights, images, transforms or views have another. Its parents are made
            if need be.
        layout: Shape of the features.
        record: Plain values written beside them, for whoever looks into the folder.

    Raises:
        UsageError: When entered, if the folder cannot be written to or has too little space.
    """

    def __init__(self, folder: Path, layout: Layout, record: dict[str, Any]) -> None:
        super().__init__(layout)
        self.folder = folder
        self.partial = folder.with_name(f"{folder.name}.partial")
        self.record = record
        self._done: set[Block] = set()
        self._lock = file_lock(folder.with_name(f"{folder.name}.lock"))

    def __enter__(self) -> "DiskStore":
        """Wait for whoever else extracts these, see what there is of them, and check that the rest has room."""
        try:
            self._done = on_first(self._prepare)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock; what is not finished stays for the next process."""
        self._lock.release()

    def missing(self) -> list[Block]:
        """Blocks that no earlier run has left intact."""
        return [block for block in self.layout.blocks() if block not in self._done]

    def put(self, block: Block, rows: Tensor) -> None:
        """Write a block, then note that it is there."""
        data = rows.contiguous().view(torch.uint8).numpy().tobytes()
        start, size = self.layout.place(block)
        assert len(data) == size
        try:
            with (self.partial / "features.bin").open("r+b") as file:
                file.seek(start)
                file.write(data)
            with self._progress_file().open("a") as notes:
                notes.write(_line(block, zlib.crc32(data)))
        except FileNotFoundError as error:
            raise UsageError(_not_shared(self.partial)) from error
        except OSError as error:
            raise self._refusal(error) from error

    def finish(self) -> Tensor:
        """Give the folder its name, and map it."""
        wait_for_all()
        on_first(self._publish)
        return self._map()

    def lacking(self) -> int:
        """Bytes that are still to be written, by what there is at the moment, unchecked; in the first process."""
        if self._published():
            return 0
        return self.layout.nbytes - sum(self.layout.place(block)[1] for block in self._notes())

    # -- in the first process ----------------------------------------------------------------------------------------

    def _prepare(self) -> set[Block]:
        try:
            if self._published():  # this needs neither the lock nor the right to write
                return set(self.layout.blocks())
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            wait_to_hold(self._lock, f"extracts {self.folder}")
            if self._published():
                return set(self.layout.blocks())
            if self.folder.exists():
                print(f"features: {self.folder} is damaged and is computed again")
                shutil.rmtree(self.folder)
            self.partial.mkdir(exist_ok=True)
            done = self._intact(self._notes())
            self._check_space(len(done))
            if done:
                print(f"features: {len(done)} of {len(list(self.layout.blocks()))} blocks are in {self.partial}")
            self._start_file(done)
        except OSError as error:
            raise self._refusal(error) from error
        return set(done)

    def _published(self) -> bool:
        """Whether the folder has its final name and whole files, as it does unless somebody has changed it."""
        with suppress(OSError, ValueError):
            json.loads((self.folder / "record.json").read_text())
            return (self.folder / "features.bin").stat().st_size == self.layout.nbytes
        return False

    def _notes(self) -> Checksums:
        """What the processes of an interrupted extraction say they have finished."""
        found: Checksums = {}
        known = set(self.layout.blocks())
        for path in sorted(self.partial.glob("done-*.txt")):
            for line in path.read_text(errors="replace").splitlines():
                with suppress(ValueError):  # the last line may be cut off
                    view, start, stop, checksum, end = line.split(" ")
                    block = Block(int(view), int(start), int(stop))
                    if end == "." and block in known:  # damaged notes may name anything
                        found[block] = int(checksum)
        return found

    def _intact(self, sums: Checksums) -> Checksums:
        """The blocks whose bytes are as noted."""
        path = self.partial / "features.bin"
        if not path.exists():
            return {}
        intact: Checksums = {}
        with path.open("rb") as file:
            for block, checksum in sums.items():
                start, size = self.layout.place(block)
                file.seek(start)
                if zlib.crc32(file.read(size)) == checksum:
                    intact[block] = checksum
        return intact

    def _check_space(self, done: int) -> None:
        blocks = len(list(self.layout.blocks()))
        need = self.layout.nbytes * (blocks - done) // blocks
        free = shutil.disk_usage(self.folder.parent).free
        if need > free:
            what = f"the features of {self.layout.views} views of {self.layout.images:,} images"
            raise no_room(self.folder.parent, need, free, what)

    def _start_file(self, done: Checksums) -> None:
        path = self.partial / "features.bin"
        path.touch()
        os.truncate(path, self.layout.nbytes)
        draft = self.partial / "notes"
        draft.write_text("".join(_line(block, checksum) for block, checksum in done.items()))
        notes = draft.replace(self.partial / "done-before.txt")
        for old in self.partial.glob("done-*.txt"):  # not before: without notes all would be computed again
            if old != notes:
                old.unlink()

    def _publish(self) -> None:
        if not self.partial.exists() or self._published():
            return
        if not set(self.layout.blocks()) <= set(self._notes()):
            raise UsageError(_not_shared(self.partial))
        try:
            with (self.partial / "features.bin").open("r+b") as file:  # else Windows flushes nothing
                os.fsync(file.fileno())
            (self.partial / "record.json").write_text(json.dumps(self.record, default=repr))
            self.partial.rename(self.folder)
            for notes in self.folder.glob("done-*.txt"):  # not before: without them all would be computed again
                notes.unlink()
        except OSError as error:
            raise self._refusal(error) from error

    # -- in each process ---------------------------------------------------------------------------------------------

    def _map(self) -> Tensor:
        # Mapped for reading alone: a private copy-on-write map of more than the memory may be refused.
        try:
            data = np.memmap(self.folder / "features.bin", dtype=np.uint8, mode="r", shape=(self.layout.nbytes,))
        except FileNotFoundError as error:
            raise UsageError(_not_shared(self.folder)) from error
        except OSError as error:
            raise self._refusal(error) from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it cannot be written to
            flat = torch.from_numpy(data).view(self.layout.dtype)
        return flat.view(self.layout.views, self.layout.images, self.layout.features)

    def _progress_file(self) -> Path:
        return self.partial / f"done-{rank_and_world_size()[0]}.txt"

    def _refusal(self, error: OSError) -> UsageError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return UsageError(
                f"`cache` {str(self.folder.parent)!r} is full; make room and start again: what is done so far is kept "
                f"in {self.partial.name}."
            )
        if isinstance(error, NoLocksError):  # two processes would remove each other's notes
            return UsageError(
                f"`cache` {str(self.folder.parent)!r} is on a file system without locks ({error.strerror}), by which "
                f"processes that extract the same features wait for each other; give a folder on another one."
            )
        return UsageError(
            f"`cache` {str(self.folder.parent)!r} cannot be used ({error.strerror or error}: "
            f"{error.filename or 'no name'}); give a folder that can be written to."
        )


def no_room(cache: Path, need: int, free: int, what: str) -> UsageError:
    """The error of a folder that features do not fit into.

    Args:
        cache: The folder.
        need: Bytes.
        free: Bytes.
        what: What needs them.
    """
    return UsageError(
        f"`cache` {str(cache)!r} needs {human(need)} for {what}, but has {human(free)} free; make room, or choose "
        f"another folder, fewer `views` or a smaller `dtype`."
    )


def _not_shared(folder: Path) -> str:
    return (
        f"The folder {folder} is not the same for every process; give a `cache` folder that all machines share, and "
        f"leave it alone until features are read."
    )


def _line(block: Block, checksum: int) -> str:
    return f"{block.view} {block.start} {block.stop} {checksum} .\n"
