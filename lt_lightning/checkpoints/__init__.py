"""Reading somebody's weights safely, saying what of them fits, and giving them back with a better classifier.

A checkpoint is one of ours, a safetensors file, or any file that ``torch.load(weights_only=True)`` opens and that holds
a state dict: bare, under a usual name, or split into backbone and classifier. Prefixes such as ``module.`` are inferred
by comparing keys, not listed.
"""

from lt_lightning.checkpoints.class_order import class_order, names_of_rows, unused_names
from lt_lightning.checkpoints.classifier import Classifier, find_classifier
from lt_lightning.checkpoints.hand_back import UnfitHeadError, hand_back, hand_back_file, to_linear
from lt_lightning.checkpoints.head_record import head_record
from lt_lightning.checkpoints.leftovers import unexpected
from lt_lightning.checkpoints.matching import Match, deeper_layers, load, match
from lt_lightning.checkpoints.past import (
    PUBLISHED,
    UNKNOWN,
    Entry,
    distinct,
    origins,
    past_of,
    trained_on,
    training_images,
)
from lt_lightning.checkpoints.reading import RECORD, Checkpoint, read
from lt_lightning.checkpoints.wording import explain_mismatch, report
from lt_lightning.checkpoints.writing import write_new
from lt_lightning.drafts import UnwritableError

__all__ = [
    "PUBLISHED",
    "RECORD",
    "UNKNOWN",
    "Checkpoint",
    "Classifier",
    "Entry",
    "Match",
    "UnfitHeadError",
    "UnwritableError",
    "class_order",
    "deeper_layers",
    "distinct",
    "explain_mismatch",
    "find_classifier",
    "hand_back",
    "hand_back_file",
    "head_record",
    "load",
    "match",
    "names_of_rows",
    "origins",
    "past_of",
    "read",
    "report",
    "to_linear",
    "trained_on",
    "training_images",
    "unexpected",
    "unused_names",
    "write_new",
]
