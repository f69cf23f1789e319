"""The command ``plot``: figures of runs, as files. Matplotlib is imported when one is drawn."""

from lt_lightning.plots.command import main
from lt_lightning.plots.drawing import KINDS, draw

__all__ = ["KINDS", "draw", "main"]
