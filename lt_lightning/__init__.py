"""Two-stage training for long-tailed image classification.

Sub-packages: ``functional``, ``heads``, ``losses``, ``backbones``, ``samplers``, ``metrics``, ``augmentations``,
``data``, ``checkpoints``, ``features``, ``retraining``, ``modules``, ``callbacks``, ``comparing``, ``export``; and the
files ``mixing`` and ``schedules``.

Importing this package imports none of them, nor torch; they and the names below arrive when they are used.
"""

from importlib import import_module

from lt_lightning.version import __version__

# Known to type checkers by its name; importing `typing` would cost `lt-lightning --help` a third of its time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from lt_lightning import augmentations as augmentations
    from lt_lightning import backbones as backbones
    from lt_lightning import callbacks as callbacks
    from lt_lightning import checkpoints as checkpoints
    from lt_lightning import comparing as comparing
    from lt_lightning import data as data
    from lt_lightning import export as export
    from lt_lightning import features as features
    from lt_lightning import functional as functional
    from lt_lightning import heads as heads
    from lt_lightning import losses as losses
    from lt_lightning import metrics as metrics
    from lt_lightning import mixing as mixing
    from lt_lightning import modules as modules
    from lt_lightning import retraining as retraining
    from lt_lightning import samplers as samplers
    from lt_lightning import schedules as schedules
    from lt_lightning.api import Retrained, retrain
    from lt_lightning.backbones import Backbone
    from lt_lightning.data import LTDataModule
    from lt_lightning.errors import UsageError
    from lt_lightning.heads import Head
    from lt_lightning.losses import Loss
    from lt_lightning.modules import LTModule, RepresentationModule, RetrainModule

_PUBLIC = {
    "Backbone": "lt_lightning.backbones",
    "Head": "lt_lightning.heads",
    "LTDataModule": "lt_lightning.data",
    "LTModule": "lt_lightning.modules",
    "Loss": "lt_lightning.losses",
    "RepresentationModule": "lt_lightning.modules",
    "RetrainModule": "lt_lightning.modules",
    "Retrained": "lt_lightning.api",
    "UsageError": "lt_lightning.errors",
    "retrain": "lt_lightning.api",
}

_PARTS = (
    "augmentations",
    "backbones",
    "callbacks",
    "checkpoints",
    "comparing",
    "data",
    "export",
    "features",
    "functional",
    "heads",
    "losses",
    "metrics",
    "mixing",
    "modules",
    "retraining",
    "samplers",
    "schedules",
)

__all__ = [
    "Backbone",
    "Head",
    "LTDataModule",
    "LTModule",
    "Loss",
    "RepresentationModule",
    "RetrainModule",
    "Retrained",
    "UsageError",
    "__version__",
    "retrain",
]


if not TYPE_CHECKING:  # else any name would pass

    def __getattr__(name: str) -> object:
        if name in _PUBLIC:
            return getattr(import_module(_PUBLIC[name]), name)
        if name in _PARTS:
            return import_module(f"lt_lightning.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PARTS])
