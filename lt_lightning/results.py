"""What every run leaves behind: a folder of its own, and a ``results.json`` written whole or not at all."""

import hashlib
import json
import math
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_only

from lt_lightning.drafts import write_text
from lt_lightning.version import __version__


def claim_folder(parent: Path) -> Path:
    """Make and return ``parent/version_K`` with the first free K.

    Folders of earlier runs stay as they are, and two jobs that start together get two folders. Only the first process
    makes one; the others get a name that Lightning replaces by the first process's.
    """
    number = 0
    while True:
        folder = parent / f"version_{number}"
        if rank_zero_only.rank:  # type: ignore[attr-defined]  # set by Lightning when it is imported
            return folder
        try:
            folder.mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return folder


def give_back_folder(folder: Path) -> None:
    """Remove a folder of :func:`claim_folder` whose run was refused before it left more than its configuration."""
    if rank_zero_only.rank or not folder.is_dir():  # type: ignore[attr-defined]
        return
    if {entry.name for entry in folder.iterdir()} <= {"config.yaml", "hparams.yaml"}:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # it may hold other runs
            folder.parent.rmdir()


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write ``data`` atomically; numbers that are not finite become ``null``, as JSON has none."""
    text = json.dumps(_finite(data), indent=1, allow_nan=False)
    write_text(path, text + "\n")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """Software and hardware of this run."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "lt_lightning": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "hardware": device,
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """The processor's full name where the system gives it, else its architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
