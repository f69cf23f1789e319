"""Average precision of rankings."""

import torch
from torch import Tensor


def average_precision(scores: Tensor, relevant: Tensor) -> Tensor:
    """Average precision of each row's ranking, ``Σ_n (R_n - R_{n-1}) P_n`` over its distinct scores.

    Equal scores are one step of the ranking, as in scikit-learn's ``average_precision_score``: their order, which
    nothing decides, does not matter.

    Args:
        scores: ``(Q, G)``, larger first; no NaN.
        relevant: ``(Q, G)``, bool.

    Returns:
        ``(Q,)``, in [0, 1], fp32 at least; NaN for a row with nothing relevant.
    """
    ranked, order = scores.sort(dim=1, descending=True)
    hits = relevant.gather(1, order)
    found = hits.cumsum(dim=1)
    # Last position of each entry's step: precision is known only there.
    last = torch.searchsorted(-ranked, -ranked, right=True) - 1
    dtype = torch.promote_types(scores.dtype, torch.float32)
    precision = found.gather(1, last).to(dtype) / (last + 1)
    return (precision * hits).sum(dim=1) / found[:, -1]
