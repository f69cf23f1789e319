"""What every run leaves behind: a folder of its own, and a ``results.json`` written whole or not at all."""

import hashlib
import json
import math
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import lightning
import torch

from lt_lightning.drafts import write_text
from lt_lightning.errors import UsageError
from lt_lightning.processes import is_first, rank_and_world_size
from lt_lightning.version import __version__
from lt_lightning.wording import human

_SLURM = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_NAME")


def claim_folder(parent: Path, option: str = "output") -> Path:
    """Make and return ``parent/version_K`` with the first free K.

    Folders of earlier runs stay as they are, and two jobs that start together get two folders. Only the first process
    makes one; the others get a name that Lightning replaces by the first process's.

    Args:
        parent: Of the runs; made if need be.
        option: What names another place, for messages.

    Raises:
        UsageError: If no folder can be made there.
    """
    for number in count():
        folder = parent / f"version_{number}"
        if not is_first():
            break
        try:
            folder.mkdir(parents=True)
            break
        except OSError as error:
            # Where the parent is a link that leads nowhere, it is the link that exists, whatever the number.
            if not isinstance(error, FileExistsError) or Path(error.filename) != folder:
                where = f": {str(error.filename)!r}" if error.filename else ""
                raise UsageError(
                    f"The run's folder {str(folder)!r} cannot be made ({error.strerror}{where}); name another place by "
                    f"`{option}`."
                ) from error
    return folder


def check_unused(folder: Path, trains: bool) -> None:
    """Refuse a folder that a logger of a fixed `version` names, if an earlier run has left weights or results there.

    Args:
        folder: Of the logger.
        trains: Whether this is a training, which could go on with the earlier one.

    Raises:
        UsageError: If it has.
    """
    going_on = ", or go on with that run by `--ckpt_path`" if trains else ""
    for name in ("checkpoints/last.ckpt", "results.json"):
        if (folder / name).exists():
            raise UsageError(
                f"The folder {str(folder)!r} of `trainer.logger` holds the {name!r} of an earlier run, whose files "
                f"would be replaced; leave the logger's `version` out{going_on}."
            )


def check_writable(output: Path, need: int = 0) -> None:
    """Find out now what would keep a new folder from being made and filled.

    Args:
        output: Folder that it is to lie in; made later if need be.
        need: Bytes that a checkpoint will take.

    Raises:
        UsageError: If no folder can be made there, or there is no room.
    """
    folder = output
    while not folder.exists() and folder != folder.parent:  # on Windows a drive may be missing
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"`output` {str(output)!r} cannot be written: {folder} is no folder that takes new files.")
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UsageError(
            f"`output` {str(output)!r} has {human(free)} free, but {human(need)} are needed for a checkpoint; make "
            f"room or choose another folder."
        )


@contextmanager
def whole_or_gone(output: Path) -> Iterator[Path]:
    """A new folder in ``output``, which goes again if it is not filled."""
    made = [parent for parent in (output, *output.parents) if not parent.exists()]
    folder = None
    try:
        folder = claim_folder(output)
        yield folder
    except BaseException as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with suppress(OSError):  # somebody else may use it by now
                parent.rmdir()
        if isinstance(error, OSError):
            raise UsageError(
                f"`output` {str(output)!r} cannot be written ({error.strerror or error}), so nothing is kept there but "
                f"what is printed above; make room, and run the same command again."
            ) from error
        raise


def give_back_folder(folder: Path) -> None:
    """Remove a folder of :func:`claim_folder` whose run was refused before it left more than its configuration.

    The folder of all runs stays, also an empty one: other jobs may be about to make theirs in it.
    """
    if not is_first() or not folder.is_dir():
        return
    if {entry.name for entry in folder.iterdir()} <= {"config.yaml", "hparams.yaml"}:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write ``data`` atomically; numbers that are not finite become ``null``, as JSON has none.

    A list of plain values takes one line: there may be one of thousands of classes for each head.
    """
    write_text(path, _json(_finite(data), "\n") + "\n")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; of one that has not changed they are read once."""
    found = path.stat()
    return _sha256_of(path.resolve(), found.st_size, found.st_mtime_ns)


@cache
def _sha256_of(path: Path, *_: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def file_and_hash(path: str | Path | None) -> dict[str, str] | None:
    """``path`` of a file that weights come from and its ``sha256``, for records; ``None`` where there is none."""
    return {"path": str(path), "sha256": sha256_of(Path(path))} if path is not None and Path(path).is_file() else None


def environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Software and hardware of this run.

    Args:
        device: Where it computes: of a CUDA device its name is given, of any other the processor's.
    """
    cuda = torch.device(device).type == "cuda"
    return {
        "lt_lightning": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "hardware": torch.cuda.get_device_name(device) if cuda else _processor(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": rank_and_world_size()[1],
    }


def job() -> dict[str, str]:
    """Where to look for a run whose figures are odd: the machine and, of a SLURM job, its numbers."""
    return {"host": platform.node(), **{name.lower(): os.environ[name] for name in _SLURM if name in os.environ}}


def provenance(device: torch.device | str = "cpu") -> dict[str, Any]:
    """What has made a file: ``written``, which is now, ``environment``, ``command`` and ``job``, for records.

    Args:
        device: Where it was computed.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")  # in the file, as copies lose its time
    return {"written": now, "environment": environment(device), "command": shlex.join(sys.argv), "job": job()}


def config_and_hash(path: Path) -> dict[str, str | None]:
    """``config``, the file of a run's configuration, and ``config_sha256``, for records.

    Args:
        path: Of the file; other processes than the first have no folder, and so no file, and no hash.
    """
    return {"config": str(path), "config_sha256": sha256_of(path) if path.is_file() else None}


def _processor() -> str:
    """The processor's full name where the system gives it, else its architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _json(value: Any, start: str) -> str:
    """As ``json.dumps`` with ``indent=1``, but for lists of plain values; ``start`` begins a line as deep as this."""
    deeper = f"{start} "
    if isinstance(value, dict) and value:
        entries = [f"{json.dumps(key)}: {_json(entry, deeper)}" for key, entry in value.items()]
        return f"{{{deeper}{f',{deeper}'.join(entries)}{start}}}"
    if isinstance(value, list) and any(isinstance(entry, dict | list) for entry in value):
        return f"[{deeper}{f',{deeper}'.join(_json(entry, deeper) for entry in value)}{start}]"
    return json.dumps(value, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
