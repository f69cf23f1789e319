"""The command ``inspect``: what a data set is, before anything is trained on it."""

from lt_lightning.inspecting.command import main
from lt_lightning.inspecting.duplicates import Duplicates, find_duplicates
from lt_lightning.inspecting.summary import Summary, remarks, summarize

__all__ = ["Duplicates", "Summary", "find_duplicates", "main", "remarks", "summarize"]
