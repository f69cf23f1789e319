"""Average precision of rankings, and the rank of a class among all."""

import torch
from torch import Tensor

from lt_lightning.functional.logits import block_maxima

BLOCK = 32
"""Classes per block of :func:`classes_ahead`; few, since each block that matters is read again."""


def classes_ahead(scores: Tensor, targets: Tensor, limit: int) -> Tensor:
    """How many classes come before the target's when an image's scores are sorted, as far as ``limit``.

    Ties go to the first class, as for ``argmax``, which gives the target where none is ahead. With many classes, blocks
    without a class ahead are skipped, and ``limit + 1`` of the others are enough: each but the target's own has at
    least one class ahead.

    Args:
        scores: Logits or probabilities, ``(N, K)``. A NaN is ahead of everything, also of itself.
        targets: Classes, ``(N,)``, int64.
        limit: Up to which the number matters, at least 1.

    Returns:
        ``(N,)``, int64: the number where it is below ``limit``, elsewhere some number from ``limit`` on.
    """
    number, classes = scores.shape
    own, targets = scores.gather(1, targets.unsqueeze(1)), targets.unsqueeze(1)
    places = torch.arange(classes, device=scores.device)
    if number == 0 or classes < 8 * BLOCK or scores.device.type != "cpu":
        return _are_ahead(scores, own, places < targets).sum(dim=1)
    maxima = block_maxima(scores, BLOCK)
    # The target's own block, neither before nor after it, may hold a class ahead.
    matter = _are_ahead(maxima, own, places[: maxima.shape[1]] <= targets // BLOCK)
    first = BLOCK * matter.float().topk(min(limit + 1, maxima.shape[1]), dim=1, sorted=False).indices
    # The last block may be short: it is read together with the end of the one before, which is then left out.
    start = first.clamp_max(classes - BLOCK)
    rows = classes * torch.arange(number, device=scores.device).unsqueeze(1)
    windows = scores.contiguous().as_strided((number * classes - BLOCK + 1, BLOCK), (1, 1))  # one at every entry
    blocks = windows.index_select(0, (rows + start).flatten()).view(number, -1, BLOCK)
    inside = start.unsqueeze(2) + places[:BLOCK]
    ahead = _are_ahead(blocks, own.unsqueeze(2), inside < targets.unsqueeze(2))
    return (ahead & (inside >= first.unsqueeze(2))).sum(dim=(1, 2))


def _are_ahead(scores: Tensor, own: Tensor, wins_ties: Tensor) -> Tensor:
    """Whether a score is above the target's, or equal where it wins ties; written so that NaN is ahead."""
    return torch.where(wins_ties, scores < own, scores <= own).logical_not()


def average_precision(scores: Tensor, relevant: Tensor) -> Tensor:
    """Average precision of each row's ranking, ``Σ_n (R_n - R_{n-1}) P_n`` over its distinct scores.

    Equal scores are one step of the ranking, as in scikit-learn's ``average_precision_score``: their order is arbitrary
    and does not matter.

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
    rising = (-ranked).contiguous()  # transposed scores are sorted into transposed ones, of which torch warns
    last = torch.searchsorted(rising, rising, right=True) - 1
    dtype = torch.promote_types(scores.dtype, torch.float32)
    precision = found.gather(1, last).to(dtype) / (last + 1)
    return (precision * hits).sum(dim=1) / hits.sum(dim=1)
