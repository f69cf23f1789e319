"""Opening a file of weights without running any code it may hold."""

import argparse
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lt_lightning.errors import UsageError

_RESAVE = (
    "save `model.state_dict()` alone with `torch.save` (or as safetensors) where the model was trained, and give that "
    "file"
)
_ANOTHER = "copy or download it again, or give another"


def open_safely(path: Path, argument: str = "checkpoint") -> dict[Any, Any]:
    """What a PyTorch or safetensors file holds, tensors on the CPU.

    Args:
        path: The file.
        argument: What it is called where it was typed, for messages.

    Raises:
        UsageError: If the file is missing, closed to the reader, empty, truncated or foreign, needs arbitrary
            unpickling, or holds no dictionary.
    """
    if not path.is_file():
        raise UsageError(f"`{argument}` {str(path)!r} is not a file; give the path of a stage-1 checkpoint.")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise UsageError(
            f"`{argument}` {str(path)!r} cannot be read ({error.strerror or error}); give a file that you may read."
        ) from error
    if not start:
        raise UsageError(f"`{argument}` {str(path)!r} is an empty file; copy or download it again.")
    if is_safetensors(path, start):
        contents = _open_safetensors(path, argument)
    elif start.startswith((b"PK", b"\x80")):  # a zip archive, or before PyTorch 1.6 a pickle
        contents = _open_pytorch(path, argument)
    else:
        hint = "; give the file that holds the weights"
        if start.startswith(b"version https://git-lfs"):
            hint = "; it is a pointer, so run `git lfs pull`"
        if start.lstrip().startswith(b"{"):
            hint = "; it is JSON, and an index names the files of parts: join these into one file, and give it"
        raise UsageError(
            f"`{argument}` {str(path)!r} is neither a PyTorch nor a safetensors file: it starts with "
            f"{start[:16]!r}{hint}."
        )
    if not isinstance(contents, dict):
        raise UsageError(
            f"`{argument}` {str(path)!r} holds a {type(contents).__name__}, not a dictionary of tensors; {_RESAVE}."
        )
    return contents


def is_safetensors(path: Path, start: bytes) -> bool:
    """Whether a file that begins with ``start`` (10 bytes at least) is to be read as safetensors."""
    # Such a file is the length of its header, in eight bytes of any value, then JSON.
    return start[8:10] in (b'{"', b"{}") or (path.suffix == ".safetensors" and not start.startswith(b"PK"))


def _open_pytorch(path: Path, argument: str) -> object:
    try:
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals(_inert_types()),
            path.open("rb") as file,  # of a path torch would believe the ending
        ):
            warnings.simplefilter("ignore")  # torch warns of pickles that it is about to refuse
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        needs = f" (it needs `{wanted[1]}`)" if wanted else ""
        raise UsageError(
            f"`{argument}` {str(path)!r} holds more than tensors and plain values{needs}, and opening it could run "
            f"foreign code; {_RESAVE}."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, LookupError) as error:
        if "TorchScript" in str(error):
            raise UsageError(f"`{argument}` {str(path)!r} is a TorchScript program, not weights; {_RESAVE}.") from error
        raise UsageError(
            f"`{argument}` {str(path)!r} is truncated or holds no weights ({_first_line(error)}); {_ANOTHER}."
        ) from error


def _inert_types() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What training scripts often save beside weights, and what only holds values when it is unpickled."""
    scalar: Any = np.float64(0).__reduce__()
    array: Any = np.zeros(0).__reduce__()
    functions = ((scalar[0], "scalar"), (array[0], "_reconstruct"))
    folder: Any = type(Path())
    return [
        argparse.Namespace,
        *((folder, f"{module}.{folder.__name__}") for module in ("pathlib", "pathlib._local")),  # Python 3.13 moved it
        np.ndarray,
        np.dtype,
        *(type(np.dtype(code)) for code in "?bhilBHILefdUS"),
        # NumPy 2 moved them; a file names the place where its own NumPy had them.
        *((function, f"numpy.{core}.multiarray.{name}") for function, name in functions for core in ("core", "_core")),
    ]


def _open_safetensors(path: Path, argument: str) -> object:
    try:
        import safetensors
        from safetensors.torch import load_file
    except ImportError as error:
        raise UsageError(
            f"Reading {path} needs safetensors, which is not installed; install it with "
            f'`pip install "lt_lightning[safetensors]"`.'
        ) from error
    try:
        return load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, LookupError) as error:
        raise UsageError(
            f"`{argument}` {str(path)!r} is truncated or no safetensors file ({_first_line(error)}); {_ANOTHER}."
        ) from error


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.partition(". ")[0].rstrip(".")[:200]  # torch adds advice for its own developers
