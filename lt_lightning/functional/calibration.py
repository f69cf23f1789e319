"""Expected calibration error from reliability bins that add and merge."""

import torch
from torch import Tensor

from lt_lightning.functional.logits import top_class


def reliability_bins(
    probabilities: Tensor,
    targets: Tensor,
    groups: Tensor,
    num_groups: int,
    num_bins: int,
    dtype: torch.dtype,
    predicted: Tensor | None = None,
) -> Tensor:
    """Sort a batch into bins of equal width by its confidence, the probability of the class predicted.

    Args:
        probabilities: ``(N, K)``, in [0, 1], in fp32 at least; of softmax or of one sigmoid per class. A NaN goes
            to the first bin, whose sum of confidences then is NaN.
        targets: ``(N,)``, int64.
        groups: Group of each class, ``(K,)``, int64; an image belongs to its target's.
        num_groups: G.
        num_bins: B. Bin b holds confidences in ``(b / B, (b + 1) / B]``, the first one 0 as well.
        dtype: Of the results; fp64 where there is one.
        predicted: Class predicted, ``(N,)``, int64, by the logits: sigmoids of several large ones are all 1. ``None``
            for the first class of the largest probability.

    Returns:
        ``(3, G, B)``: number of images, sum of their confidences, number of those predicted right.
    """
    predicted = top_class(probabilities) if predicted is None else predicted
    confidence = probabilities.gather(1, predicted.unsqueeze(1)).squeeze(1).to(dtype)
    bins = (confidence * num_bins).ceil().sub(1).nan_to_num(0).clamp(0, num_bins - 1).to(torch.int64)
    values = torch.stack((torch.ones_like(confidence), confidence, (predicted == targets).to(dtype)))
    # index_select raises on target -1; `groups[targets]` would silently take the last class.
    place = groups.index_select(0, targets) * num_bins + bins
    flat = values.new_zeros(3, num_groups * num_bins).index_add(1, place, values)
    return flat.view(3, num_groups, num_bins)


def calibration_error(bins: Tensor) -> Tensor:
    """Expected calibration error: mean over images of the gap between accuracy and mean confidence of their bin.

    Args:
        bins: ``(3, ..., B)`` as :func:`reliability_bins` gives them.

    Returns:
        ``(...)``, in [0, 1]; NaN without images.

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. (5).
    """
    number, confidence, correct = bins.unbind()
    return (correct - confidence).abs().sum(dim=-1) / number.sum(dim=-1)
