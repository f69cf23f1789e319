"""Classifier heads; each is made from the number of features and the class counts."""

from lt_lightning.heads.affine import AffineHead
from lt_lightning.heads.base import Head
from lt_lightning.heads.cosine import CosineHead
from lt_lightning.heads.disalign import DisAlignHead
from lt_lightning.heads.linear import LinearHead
from lt_lightning.heads.logit_adjustment import LogitAdjustmentHead
from lt_lightning.heads.lws import LWSHead
from lt_lightning.heads.max_norm import MaxNormHead
from lt_lightning.heads.ncm import NCMHead
from lt_lightning.heads.tau_norm import TauNormHead

__all__ = [
    "AffineHead",
    "CosineHead",
    "DisAlignHead",
    "Head",
    "LWSHead",
    "LinearHead",
    "LogitAdjustmentHead",
    "MaxNormHead",
    "NCMHead",
    "TauNormHead",
]
