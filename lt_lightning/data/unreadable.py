"""Which images of a list cannot be read, found out once, and the list without them."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import torch

from lt_lightning import home
from lt_lightning.data.base import Split
from lt_lightning.data.file_images import FileList, read_rgb
from lt_lightning.drafts import write_text
from lt_lightning.errors import UsageError
from lt_lightning.locking import locked_if_possible
from lt_lightning.processes import is_first
from lt_lightning.progress import progress_bar
from lt_lightning.wording import first_few

NAMED = 5
"""How many of the images that are left out are named."""

_SHARE = 64  # images that a thread takes at a time: a future for each of a million would cost a gigabyte
_FOUND: dict[str, frozenset[str]] = {}


def leave_out(root: str, split: Split, files: FileList, class_names: Sequence[str]) -> tuple[FileList, list[str]]:
    """Take the images that cannot be read off a list.

    Args:
        root: Folder that the paths are relative to.
        split: Whose images they are.
        files: The list.
        class_names: Name of each class.

    Returns:
        The list without them, and their paths.

    Raises:
        UsageError: If none of the images, or of a class that trains, can be read.
    """
    unreadable = find_unreadable(Path(root), files.paths, read_rgb, f"decoding images of {split}")
    if not unreadable:
        return files, []
    left = files.rows(torch.tensor([i for i, path in enumerate(files.paths) if path not in unreadable]).long())
    before, after = (found.counts(len(class_names)) for found in (files, left))
    lost = [label for label, (had, has) in enumerate(zip(before, after, strict=True)) if had and not has]
    if lost and split == "train":
        label = lost[0]
        path = files.paths[files.targets.tolist().index(label)]
        raise UsageError(
            f"None of the {before[label]} training images of class {class_names[label]!r} can be read, {path} for one; "
            f"replace them, remove the class, or check `data.root` {root!r}."
        )
    if not left.paths:
        raise UsageError(
            f"None of the {len(files.paths)} {split} images can be read, {files.paths[0]} for one; replace them, or "
            f"check `data.root` {root!r}."
        )
    return left, [path for path in files.paths if path in unreadable]


def announce(split: Split, paths: Sequence[str], of: int) -> None:
    """Say, in the first process, what has been left out.

    Args:
        split: Whose images they are.
        paths: What has been left out.
        of: How many there were.
    """
    if not is_first():
        return
    print(f"{len(paths)} of {of} {split} images cannot be read and are left out: {first_few(paths, NAMED)}", flush=True)


def find_unreadable(root: Path, paths: Sequence[str], read: Callable[[Path], object], title: str) -> frozenset[str]:
    """Decode every image of a list, and say which cannot be read.

    It is remembered of a list, known by its files' paths, sizes and times of change, for the rest of the process and in
    ``$XDG_CACHE_HOME/lt_lightning`` (``~/.cache/lt_lightning`` by default) for other processes and later runs. Those
    decode the unreadable images alone again: what kept them from being read may have passed. Of processes that start
    together one looks, and the others wait. Without a folder that takes files each looks for itself.

    Args:
        root: Folder that the paths are relative to.
        paths: With forward slashes.
        read: Reads one image, and raises :class:`UsageError` if it cannot.
        title: What the progress bar says.

    Returns:
        The paths that cannot be read.
    """
    key = _key(root, paths)
    if key not in _FOUND:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home.expanded("~/.cache"))
        if not cache.is_absolute():  # there is no home folder
            cache = Path(tempfile.gettempdir())
        file = cache / "lt_lightning" / "unreadable" / f"{key}.json"
        with locked_if_possible(file.with_suffix(".lock")):
            known = _remembered(file, paths)
            found = _decode(root, paths if known is None else known, read, title)
            if known is None:
                with suppress(OSError):
                    write_text(file, json.dumps(found))
        _FOUND[key] = frozenset(found)
    return _FOUND[key]


def _key(root: Path, paths: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{root.resolve()}\n".encode(errors="surrogateescape"))
    for path in paths:
        try:
            found = (root / path).stat()
            state = f"{found.st_size}\0{found.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(f"{path}\0{state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _remembered(file: Path, paths: Sequence[str]) -> list[str] | None:
    """Which of ``paths`` could not be read before; ``None`` where nothing says so."""
    with suppress(OSError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
        if set(known) <= set(paths):
            return sorted(known)
    return None


def _decode(root: Path, paths: Sequence[str], read: Callable[[Path], object], title: str) -> list[str]:
    def fails(path: str) -> bool:
        try:
            read(root / path)
        except UsageError:
            return True
        return False

    shares = [paths[start : start + _SHARE] for start in range(0, len(paths), _SHARE)]
    pool = ThreadPoolExecutor(min(32, os.cpu_count() or 1))  # decoding does not block other threads
    unreadable: list[str] = []
    try:
        with progress_bar(title, len(paths), shown=len(shares) > 1) as advance:
            done = pool.map(lambda share: [path for path in share if fails(path)], shares)
            for share, found in zip(shares, done, strict=True):
                unreadable += found
                advance(len(share))
        return unreadable
    finally:
        pool.shutdown(cancel_futures=True)  # after an interruption the rest is not decoded
