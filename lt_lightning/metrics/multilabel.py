"""Multi-label recognition: mean average precision and balanced accuracy, per class and per image."""

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.functional.ranking import average_precision


@torch.no_grad()
def multilabel_scores(scores: Tensor, labels: Tensor, top_k: int = 5) -> dict[str, Tensor]:
    """Mean average precision and balanced accuracy of a whole test set.

    - ``class_map``: images are ranked for each class; mean over the classes with a positive image.
    - ``image_map``: classes are ranked for each image; mean over the images with a positive class.
    - ``class_balanced_accuracy``, ``image_balanced_accuracy``: each image's ``top_k`` classes are predicted; mean of
      the true-positive and the true-negative rate of each class (image), and of that over those with both.

    Rankings are whole; ``top_k`` bears on the balanced accuracies alone. The paper says that both are of its top 5
    predictions and prints no formula; an average precision cut at 5 would depend on how many labels an image has.

    Args:
        scores: Logits or probabilities, ``(N, K)``.
        labels: ``(N, K)``, 0 or 1.
        top_k: Classes predicted per image; 5 is DLR's.

    Returns:
        Scalars in [0, 1] by name; NaN where nothing can be averaged.

    Raises:
        UsageError: If shapes differ, labels are not 0 or 1, scores have NaN, or ``top_k`` is not among 1 to K.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression" (DLR), AAAI 2019,
        Table 3; balanced accuracy of attributes as in Huang et al., "Learning Deep Representation for Imbalanced
        Classification", CVPR 2016.
    """
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise UsageError(
            f"`scores` and `labels` must both be (N, K), but got {tuple(scores.shape)} and {tuple(labels.shape)}."
        )
    if not 1 <= top_k <= scores.shape[1]:
        raise UsageError(f"`top_k` must lie in 1 to {scores.shape[1]}, the number of classes, but got {top_k}.")
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise UsageError("`labels` must hold 0 and 1 alone, but got other values; threshold them first.")
    if bool(scores.isnan().any()):
        raise UsageError("`scores` must be numbers, but some are NaN, which cannot be ranked.")
    scores, labels = at_least_fp32(scores), labels.bool()
    predicted = torch.zeros_like(labels).scatter(1, scores.topk(top_k, dim=1).indices, True)
    return {
        "class_map": average_precision(scores.t().contiguous(), labels.t()).nanmean(),
        "image_map": average_precision(scores, labels).nanmean(),
        "class_balanced_accuracy": _balanced(predicted, labels, 0).nanmean(),
        "image_balanced_accuracy": _balanced(predicted, labels, 1).nanmean(),
    }


def _balanced(predicted: Tensor, labels: Tensor, dim: int) -> Tensor:
    """Mean of true-positive and true-negative rate along ``dim``; NaN without positives or negatives."""
    positive_rate = (predicted & labels).sum(dim) / labels.sum(dim)
    negative_rate = (~predicted & ~labels).sum(dim) / (~labels).sum(dim)
    return (positive_rate + negative_rate) / 2
