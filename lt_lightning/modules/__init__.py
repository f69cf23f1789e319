"""The LightningModules of the two stages."""

from lt_lightning.modules.base import LTModule
from lt_lightning.modules.representation import RepresentationModule
from lt_lightning.modules.retrain import RetrainModule
from lt_lightning.modules.saving import save_probed, save_retrained

__all__ = ["LTModule", "RepresentationModule", "RetrainModule", "save_probed", "save_retrained"]
