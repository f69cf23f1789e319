"""Two-stage training for long-tailed image classification.

Sub-packages: ``heads``, ``losses``, ``backbones``, ``samplers``, ``data``, ``metrics``, ``callbacks``, ``modules``.
Importing this package imports none of them, nor torch; the names below arrive when they are used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Backbone": "lt_lightning.backbones",
    "Head": "lt_lightning.heads",
    "LTDataModule": "lt_lightning.data",
    "LTModule": "lt_lightning.modules",
    "Loss": "lt_lightning.losses",
    "RepresentationModule": "lt_lightning.modules",
    "RetrainModule": "lt_lightning.modules",
    "UsageError": "lt_lightning.errors",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
