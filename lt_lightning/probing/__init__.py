"""The command ``probe``: a classifier for a network that has none for these classes, so that stage 2 can begin."""

from lt_lightning.probing.command import main
from lt_lightning.probing.probe import PENALTIES, Probe, TriedPenalty, probe

__all__ = ["PENALTIES", "Probe", "TriedPenalty", "main", "probe"]
