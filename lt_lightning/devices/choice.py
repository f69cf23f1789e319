"""Which device to take, and what it is good at."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_only

from lt_lightning.errors import UsageError


def fastest_precision(accelerator: Any = "auto") -> Literal["bf16-mixed", "32-true"]:
    """The precision to train in on a device, unless told otherwise.

    bf16 has the range of fp32, so it needs no scaling of losses; it is a gain only where the hardware computes with it.

    Args:
        accelerator: ``trainer.accelerator``: "auto", "gpu", "cuda", "cpu" or anything else that Lightning takes.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        native = _processor_computes_in_bf16()
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def training_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a Trainer is to train with where its options say nothing of it: what the device is fastest with.

    Precision, printed if it is not fp32; and ``benchmark``, by which cuDNN measures which convolutions are fastest for
    images of one size, unless the run is to be deterministic.

    Args:
        options: Of the Trainer, as given.
    """
    found: dict[str, Any] = {}
    if options.get("benchmark") is None and not options.get("deterministic"):
        found["benchmark"] = True
    if options.get("precision") is not None or options.get("plugins"):
        return found
    precision = fastest_precision(options.get("accelerator", "auto"))
    if precision != "32-true":
        rank_zero_only(print)(f"training in {precision}; `--trainer.precision 32-true` chooses fp32", flush=True)
    return {**found, "precision": precision}


def device_of(name: str, apple: bool = True) -> torch.device:
    """The device of a name; of ``auto`` this process's GPU where there is one, else the processor.

    Args:
        name: As torch has it, or ``auto``.
        apple: Whether Apple's GPU is one, too.
    """
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", gpu_of_process())
    return torch.device("mps" if apple and torch.backends.mps.is_available() else "cpu")


def check_device(key: str, name: str) -> None:
    """Refuse a device that this machine has not.

    Args:
        key: Names the option.
        name: As :func:`device_of` takes it.

    Raises:
        UsageError: If there is none of that name.
    """
    if name != "auto" and not _is_there(name):
        known = ["cpu", *(f"cuda:{number}" for number in range(_gpus()))]
        known += ["mps"] if torch.backends.mps.is_available() else []
        raise UsageError(f"`{key}` must be `auto` or a device of this machine, {' or '.join(known)}, but got {name!r}.")


def gpu_of_process() -> int:
    """Number of this process's GPU among those that it sees: its own alone, or its machine's."""
    if "LOCAL_RANK" not in os.environ:
        return torch.cuda.current_device()
    return int(os.environ["LOCAL_RANK"]) % max(torch.cuda.device_count(), 1)


def _is_there(name: str) -> bool:
    try:
        device = torch.device(name)
        if device.type == "cuda":  # counted, for a first tensor would take memory from every GPU that is asked
            return (device.index or 0) < _gpus()
        if device.type == "mps":
            return torch.backends.mps.is_available()
        torch.zeros(1, device=device)
    # AssertionError, ImportError: torch was built without what it takes.
    except (RuntimeError, AssertionError, ImportError, TypeError):
        return False
    return True


def _gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _processor_computes_in_bf16() -> bool:
    """Whether all processors have instructions for products of bf16, as far as the system says."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return not {"avx512_bf16", "amx_bf16"}.isdisjoint(line.split())
    return False
