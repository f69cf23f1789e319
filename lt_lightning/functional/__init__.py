"""Mathematics of long-tailed recognition, and the changes of training images: tensors in, tensors out.

What only this package's own parts have a use for is in the submodules.
"""

from lt_lightning.functional.augment import normalize, random_crop, random_horizontal_flip
from lt_lightning.functional.binary import one_vs_all_loss, softmax_bce_loss
from lt_lightning.functional.bootstrap import Difference, paired_bootstrap
from lt_lightning.functional.calibration import calibration_error, reliability_bins
from lt_lightning.functional.classifiers import (
    align_logits,
    class_means,
    cosine_logits,
    measured_radius,
    nearest_mean_logits,
    project_rows,
    row_cosines,
    row_norms,
    tau_normalize,
)
from lt_lightning.functional.distraction import Distraction, distraction
from lt_lightning.functional.equalization import EqualizationTerms, equalization_loss, equalization_weights
from lt_lightning.functional.fisher import fisher_ratio
from lt_lightning.functional.groups import (
    GROUPS,
    accuracy_summaries,
    class_accuracies,
    group_accuracies,
    group_means,
    group_of,
)
from lt_lightning.functional.hand_written import with_gradient
from lt_lightning.functional.in_negative import in_negative_reweighted_loss
from lt_lightning.functional.large_margin import large_margin_terms
from lt_lightning.functional.learning_property import gradient_sides, relative_residual
from lt_lightning.functional.logistic_regression import (
    LinearFit,
    Standardization,
    fit_logistic_regression,
    standardization,
)
from lt_lightning.functional.logits import (
    logit_moments,
    logits_magnitude,
    standard_deviation,
    top_class,
)
from lt_lightning.functional.margins import elm_margins, ldam_margins, maximum_margins, scale_with_margin
from lt_lightning.functional.precision import at_least_fp32, linear
from lt_lightning.functional.priors import class_balanced_weights, frequency_factors, generalized_weights, log_prior
from lt_lightning.functional.ranking import average_precision, classes_ahead
from lt_lightning.functional.reordering import recall_if_reordered
from lt_lightning.functional.selection import hard_selection_loss, hard_selection_softmax_loss, soft_selection_loss
from lt_lightning.functional.shifted import prior_accuracy, shifted_priors
from lt_lightning.functional.smoothing import (
    SmoothingShape,
    delta_from_gap,
    label_aware_smoothing,
    smoothed_cross_entropy,
)
from lt_lightning.functional.temperature import fit_temperature, negative_log_likelihood
from lt_lightning.functional.wrongness import focal_factor, influence, wrongness

__all__ = [
    "GROUPS",
    "Difference",
    "Distraction",
    "EqualizationTerms",
    "LinearFit",
    "SmoothingShape",
    "Standardization",
    "accuracy_summaries",
    "align_logits",
    "at_least_fp32",
    "average_precision",
    "calibration_error",
    "class_accuracies",
    "class_balanced_weights",
    "class_means",
    "classes_ahead",
    "cosine_logits",
    "delta_from_gap",
    "distraction",
    "elm_margins",
    "equalization_loss",
    "equalization_weights",
    "fisher_ratio",
    "fit_logistic_regression",
    "fit_temperature",
    "focal_factor",
    "frequency_factors",
    "generalized_weights",
    "gradient_sides",
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
    "logit_moments",
    "logits_magnitude",
    "maximum_margins",
    "measured_radius",
    "nearest_mean_logits",
    "negative_log_likelihood",
    "normalize",
    "one_vs_all_loss",
    "paired_bootstrap",
    "prior_accuracy",
    "project_rows",
    "random_crop",
    "random_horizontal_flip",
    "recall_if_reordered",
    "relative_residual",
    "reliability_bins",
    "row_cosines",
    "row_norms",
    "scale_with_margin",
    "shifted_priors",
    "smoothed_cross_entropy",
    "soft_selection_loss",
    "softmax_bce_loss",
    "standard_deviation",
    "standardization",
    "tau_normalize",
    "top_class",
    "with_gradient",
    "wrongness",
]
