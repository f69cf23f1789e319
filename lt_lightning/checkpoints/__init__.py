"""Reading somebody's weights safely, saying what of them fits, and giving them back with a better classifier.

A checkpoint is one of ours, a safetensors file, or any file that ``torch.load(weights_only=True)`` opens and that holds
a state dict: bare, under a usual name, or split into backbone and classifier. Prefixes such as ``module.`` are inferred
by comparing keys, not listed.
"""

from lt_lightning.checkpoints.class_order import names_of_rows
from lt_lightning.checkpoints.classifier import Classifier, find_classifier
from lt_lightning.checkpoints.hand_back import UnfitHeadError, hand_back_file, to_linear
from lt_lightning.checkpoints.matching import Match, deeper_layers, load, match
from lt_lightning.checkpoints.past import PUBLISHED, UNKNOWN, Entry, known_of_images, origins, training_images
from lt_lightning.checkpoints.reading import RECORD, Checkpoint, read
from lt_lightning.checkpoints.wording import report

__all__ = [
    "PUBLISHED",
    "RECORD",
    "UNKNOWN",
    "Checkpoint",
    "Classifier",
    "Entry",
    "Match",
    "UnfitHeadError",
    "deeper_layers",
    "find_classifier",
    "hand_back_file",
    "known_of_images",
    "load",
    "match",
    "names_of_rows",
    "origins",
    "read",
    "report",
    "to_linear",
    "training_images",
]
