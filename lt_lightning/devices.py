"""What a device is good at."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch


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


def _processor_computes_in_bf16() -> bool:
    """Whether all processors have instructions for products of bf16, as far as the system says."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return not {"avx512_bf16", "amx_bf16"}.isdisjoint(line.split())
    return False
