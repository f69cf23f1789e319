"""Mathematics of long-tailed recognition, and the changes of training images: tensors in, tensors out.

What only this package's own parts have a use for is in the submodules.
"""

from lt_lightning.functional.augment import normalize, random_crop, random_horizontal_flip
from lt_lightning.functional.binary import one_vs_all_loss, softmax_bce_loss
from lt_lightning.functional.bootstrap import paired_bootstrap
from lt_lightning.functional.calibration import calibration_error, reliability_bins
from lt_lightning.functional.classifiers import (
    align_logits,
    class_means,
    cosine_logits,
    project_rows,
    tau_normalize,
)
from lt_lightning.functional.equalization import equalization_loss, equalization_weights
from lt_lightning.functional.groups import GROUPS, class_accuracies, group_accuracies, group_means, group_of
from lt_lightning.functional.hand_written import with_gradient
from lt_lightning.functional.in_negative import in_negative_reweighted_loss
from lt_lightning.functional.large_margin import large_margin_terms
from lt_lightning.functional.logits import top_class
from lt_lightning.functional.margins import elm_margins, ldam_margins, maximum_margins, scale_with_margin
from lt_lightning.functional.precision import at_least_fp32, linear
from lt_lightning.functional.priors import class_balanced_weights, frequency_factors, generalized_weights, log_prior
from lt_lightning.functional.sample_weights import focal_factor, influence
from lt_lightning.functional.selection import hard_selection_loss, hard_selection_softmax_loss, soft_selection_loss
from lt_lightning.functional.shifted import prior_accuracy, shifted_priors
from lt_lightning.functional.smoothing import label_aware_smoothing, smoothed_cross_entropy
from lt_lightning.functional.temperature import fit_temperature

__all__ = [
    "GROUPS",
    "align_logits",
    "at_least_fp32",
    "calibration_error",
    "class_accuracies",
    "class_balanced_weights",
    "class_means",
    "cosine_logits",
    "elm_margins",
    "equalization_loss",
    "equalization_weights",
    "fit_temperature",
    "focal_factor",
    "frequency_factors",
    "generalized_weights",
    "group_accuracies",
    "group_means",
    "group_of",
    "hard_selection_loss",
    "hard_selection_softmax_loss",
    "in_negative_reweighted_loss",
    "influence",
    "label_aware_smoothing",
    "large_margin_terms",
    "ldam_margins",
    "linear",
    "log_prior",
    "maximum_margins",
    "normalize",
    "one_vs_all_loss",
    "paired_bootstrap",
    "prior_accuracy",
    "project_rows",
    "random_crop",
    "random_horizontal_flip",
    "reliability_bins",
    "scale_with_margin",
    "shifted_priors",
    "smoothed_cross_entropy",
    "soft_selection_loss",
    "softmax_bce_loss",
    "tau_normalize",
    "top_class",
    "with_gradient",
]
