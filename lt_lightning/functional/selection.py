"""Losses that select among the negative classes, softly or hard: of sigmoids, and hard of a softmax."""

from math import floor

import torch
from torch import Tensor

from lt_lightning.errors import UsageError, check_at_least_0
from lt_lightning.functional.binary import softmax_bce_loss
from lt_lightning.functional.hand_written import with_gradient
from lt_lightning.functional.precision import widest_float
from lt_lightning.functional.softplus import sloped_softplus, softplus


def soft_selection_loss(logits: Tensor, targets: Tensor, r: float, beta: float, alpha: float | None = None) -> Tensor:
    """Logistic loss whose negative classes weigh ``α sigmoid(z)^r``; the gradient flows through that weight too.

    Args:
        logits: ``(N, K)``, fp32 at least.
        targets: Class of each sample, ``(N,)``, int64; or all its classes, ``(N, K)``, 0 or 1 of any type.
        r: Exponent, at least 0.
        beta: α is β over the number of negative classes of the sample.
        alpha: α itself, in place of ``beta``.

    Returns:
        Loss of each sample, ``-Σ log s_y - α Σ_{k≠y} s_k^r log(1 - s_k)``, ``(N,)``.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression", AAAI 2019, eq. 6.
    """
    with torch.no_grad():
        number: Tensor | int = logits.shape[1] - 1
        if targets.dim() == 2:
            number = _negatives(targets).clamp_min_(1).to(logits.dtype)
        weight = beta / number if alpha is None else alpha
        losses, gradient = sloped_softplus(logits, r)
        negative = _fill(losses, targets, 0.0).sum(dim=1, keepdim=True).mul_(weight)
        positive, slopes = _positives(logits, targets)
        gradient = _put(gradient.mul_(weight), targets, slopes)
    return with_gradient(logits, (positive + negative).squeeze(1), gradient)


def check_hard_selection(m: float, beta: float, alpha: float | None) -> None:
    """Refuse what hard selection, of sigmoids or of a softmax, cannot take.

    Raises:
        UsageError: If ``m``, the percentage, is not in [0, 100], or ``beta`` or ``alpha`` negative.
    """
    if not 0 <= m <= 100:
        raise UsageError(f"`m` must lie in [0, 100], but got {m}.")
    check_at_least_0(beta=beta, alpha=alpha)


def hard_selection_loss(logits: Tensor, targets: Tensor, m: float, beta: float, alpha: float | None = None) -> Tensor:
    """Logistic loss of the positive class and of the hardest negative ones.

    ``n = max(1, ⌊m · negatives / 100⌋)`` negative classes of the highest logits count. Where several tie for the last
    places, the gradient of those places is spread evenly over them.

    Args:
        logits: ``(N, K)``, fp32 at least.
        targets: Class of each sample, ``(N,)``, int64; or all its classes, ``(N, K)``, 0 or 1 of any type.
        m: Percentage of the negative classes, in [0, 100].
        beta: α is β over n.
        alpha: α itself, in place of ``beta``.

    Returns:
        Loss of each sample, ``-Σ log s_y - α Σ_{top n} log(1 - s_k)``, ``(N,)``.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression", AAAI 2019, eq. 5.
    """
    with torch.no_grad():
        several = targets.dim() == 2
        most = max(1, floor(m * (logits.shape[1] - (0 if several else 1)) / 100))
        negatives = _fill(logits.clone(), targets, -torch.inf)
        top = _largest(negatives, most, in_order=several)
        number: Tensor | int = most
        if several:
            exact = _negatives(targets).to(widest_float(logits.device))
            number = exact.mul_(m).div_(100).floor_().clamp_min_(1).to(logits.dtype)
            threshold = top.gather(1, number.to(torch.int64) - 1)
            top = torch.where(torch.arange(most, device=top.device) < number, top, -torch.inf)
        else:
            threshold = top.amin(dim=1, keepdim=True)
        weight = beta / number if alpha is None else alpha
        positive, slopes = _positives(logits, targets)
        negative = softplus(top).sum(dim=1, keepdim=True).mul_(weight)
        chosen = _places(negatives, threshold, number)
        gradient = _put(negatives.sigmoid_().mul_(chosen).mul_(weight), targets, slopes)
    return with_gradient(logits, (positive + negative).squeeze(1), gradient)


def hard_selection_softmax_loss(
    logits: Tensor, targets: Tensor, m: float, beta: float, alpha: float | None = None
) -> Tensor:
    """:func:`hard_selection_loss` of softmax probabilities; finite for any finite logits.

    The selected classes count as in :func:`softmax_bce_loss`, which computes this.

    Args:
        logits: ``(N, K)``, K at least 2, fp32 at least.
        targets: Class of each sample, ``(N,)``, int64.
        m: Percentage of the negative classes, in [0, 100].
        beta: α is β over n, the number of classes selected.
        alpha: α itself, in place of ``beta``.

    Returns:
        Loss of each sample, ``-log p_y - α Σ_{top n} log(1 - p_k)``, ``(N,)``.

    References:
        Dong et al., "Single-Label Multi-Class Image Classification by Deep Logistic Regression", AAAI 2019, eq. 5 and
        "Hard Mining for SR".
    """
    with torch.no_grad():
        number = max(1, floor(m * (logits.shape[1] - 1) / 100))
        negatives = _fill(logits.clone(), targets, -torch.inf)
        threshold = _largest(negatives, number, in_order=False).amin(dim=1, keepdim=True)
        weights = _places(negatives, threshold, number).mul_(beta / number if alpha is None else alpha)
        del negatives
    return softmax_bce_loss(logits, targets, weights)


def _places(negatives: Tensor, threshold: Tensor, number: Tensor | int) -> Tensor:
    """How much of a place among the ``number`` highest each class has: 1, 0, or a share where several tie, ``(N, K)``.

    The threshold is the lowest logit that has one.
    """
    # In-place comparisons give floats, which a CPU writes and adds several times faster than booleans.
    tied = negatives.clone().eq_(threshold)
    above = negatives.clone().gt_(threshold)
    left = number - above.sum(dim=1, keepdim=True)
    return above.addcmul_(tied, left / tied.sum(dim=1, keepdim=True))


def _largest(values: Tensor, number: int, in_order: bool) -> Tensor:
    # torch.compile cannot trace numpy's partition.
    if in_order or values.device.type != "cpu" or torch.compiler.is_compiling():
        return values.topk(number, dim=1, sorted=in_order).values
    # numpy's partition is vectorised and leaves each row's largest at its end: 5 times as fast as torch.topk for the
    # quarter of 8142 classes; twice as fast on AMD's Zen 4, where its AVX-512 code is slow (numpy/x86-simd-sort#6).
    rows, first = values.clone(), values.shape[1] - number
    rows.numpy().partition(first, axis=1)
    return rows[:, first:]


def _negatives(targets: Tensor) -> Tensor:
    """Number of negative classes of each sample with several classes, ``(N, 1)``."""
    return (targets <= 0).sum(dim=1, keepdim=True)


def _positives(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of the positive classes, ``(N, 1)``, and its gradient for :func:`_put`."""
    if targets.dim() == 2:
        losses, slopes = sloped_softplus(-logits)
        return torch.where(targets > 0, losses, 0.0).sum(dim=1, keepdim=True), slopes.neg_()
    losses, slopes = sloped_softplus(-logits.gather(1, targets.unsqueeze(1)))
    return losses, slopes.neg_()


def _put(values: Tensor, targets: Tensor, at_positives: Tensor) -> Tensor:
    """``values``, maybe overwritten, with others at the positive classes, ``(N, 1)`` for one each, else ``(N, K)``."""
    if targets.dim() == 2:
        return torch.where(targets > 0, at_positives, values)
    return values.scatter_(1, targets.unsqueeze(1), at_positives)


def _fill(values: Tensor, targets: Tensor, number: float) -> Tensor:
    """``values``, which are overwritten, with ``number`` at the positive classes."""
    if targets.dim() == 2:
        return values.masked_fill_(targets > 0, number)
    return values.scatter_(1, targets.unsqueeze(1), number)
