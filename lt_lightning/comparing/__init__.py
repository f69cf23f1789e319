"""Stage-2 methods side by side: one checkpoint, one set of features, settings chosen on unseen images."""

from lt_lightning.comparing.comparison import compare
from lt_lightning.comparing.leaderboard import leaderboard
from lt_lightning.comparing.outcome import Comparison, Options, Row, TriedPoint

__all__ = ["Comparison", "Options", "Row", "TriedPoint", "compare", "leaderboard"]
