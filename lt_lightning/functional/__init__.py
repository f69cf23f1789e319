"""Mathematics of long-tailed recognition: tensors in, tensors out, nothing else of the package."""

from lt_lightning.functional.binary import log_one_minus_softmax, one_vs_all_loss, softmax_bce_loss
from lt_lightning.functional.classifiers import (
    cosine_logits,
    measured_radius,
    project_rows,
    row_norms,
    tau_normalize,
)
from lt_lightning.functional.device import keeping_precision, widest_float
from lt_lightning.functional.groups import GROUPS, class_accuracies, group_accuracies, group_means, group_of
from lt_lightning.functional.logits import column_moments, logits_magnitude, own_moments, standard_deviation
from lt_lightning.functional.margins import ldam_margins, subtract_margins
from lt_lightning.functional.precision import at_least_fp32, linear
from lt_lightning.functional.priors import class_balanced_weights, log_prior
from lt_lightning.functional.smoothing import delta_from_gap, gap_from_delta

__all__ = [
    "GROUPS",
    "at_least_fp32",
    "class_accuracies",
    "class_balanced_weights",
    "column_moments",
    "cosine_logits",
    "delta_from_gap",
    "gap_from_delta",
    "group_accuracies",
    "group_means",
    "group_of",
    "keeping_precision",
    "ldam_margins",
    "linear",
    "log_one_minus_softmax",
    "log_prior",
    "logits_magnitude",
    "measured_radius",
    "one_vs_all_loss",
    "own_moments",
    "project_rows",
    "row_norms",
    "softmax_bce_loss",
    "standard_deviation",
    "subtract_margins",
    "tau_normalize",
    "widest_float",
]
