"""LGL-INR: logistic losses averaged class by class, with the negative classes weighted by how hard they are."""

import torch
from torch import Tensor

from lt_lightning.functional.hand_written import with_gradient
from lt_lightning.functional.softplus import sloped_softplus, softplus

NEVER = -1e30
"""A logit of probability 0 that, unlike -inf, gives no NaN in a column that holds nothing else."""


def in_negative_reweighted_loss(logits: Tensor, targets: Tensor, beta: float) -> Tensor:
    """In-negative-class reweighted logistic loss of a batch; the gradient flows through the weights too.

    With S_j the samples of class j, ``L = Σ_k mean_{S_k} -log s_k + Σ_k Σ_{j≠k} a_jk mean_{S_j} -log(1 - s_k)``, where
    ``a_jk`` is the softmax of ``β mean_{S_j} s_k`` over the classes j ≠ k that the batch holds. All K classes k take
    part in the second sum; there is no factor 1/K.

    Args:
        logits: ``(N, K)``, fp32 at least.
        targets: ``(N,)``, int64.
        beta: β, at least 0; 0 weighs all present negative classes alike.

    Returns:
        A scalar.

    References:
        Li et al., "On the Learning Property of Logistic and Softmax Losses for Deep Neural Networks", AAAI 2020, eq. 11
        with the weights of "Choice of λs".
    """
    values, gradient = in_negative_terms(logits.unsqueeze(1), targets, beta)
    return with_gradient(logits, values.squeeze(0), gradient.squeeze(1))


@torch.no_grad()
def in_negative_terms(logits: Tensor, targets: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Value and gradient of :func:`in_negative_reweighted_loss` for H heads that see the same batch.

    Every logit column, of whatever head, is a binary problem of its own.

    Args:
        logits: ``(N, H, K)``, fp32 at least.
        targets: ``(N,)``, int64.
        beta: β, at least 0.

    Returns:
        ``(H,)`` and ``(N, H, K)``, without graph.
    """
    index = targets.view(-1, 1, 1).expand(-1, logits.shape[1], 1)
    rows, slots = _rows(targets, logits.shape[2])
    sizes = logits.new_zeros(rows).index_add_(0, slots, logits.new_ones(len(targets))).view(-1, 1, 1)
    part = 1 / sizes.clamp_min(1)
    means = _sums(softplus(logits), slots, rows).mul_(part)
    chances = logits.sigmoid()
    hardness = _sums(chances, slots, rows).mul_(beta * part).add_(NEVER * (sizes == 0))
    hardness[slots, :, targets] = NEVER
    weights = torch.softmax(hardness, dim=0)
    del hardness
    weights[slots, :, targets] = 0.0  # a class that is alone in the batch has no negative one
    pull = weights * means
    total = pull.sum(dim=0)
    own, slopes = sloped_softplus(-logits.gather(2, index))
    values = total.sum(dim=1) + (own * part[slots]).sum(dim=(0, 2))
    # With c = a (mean - Σ a mean), the gradient at a sample of class j is (a_jk + β c_jk (1 - s_k)) s_k / |S_j|.
    pull.addcmul_(weights, total, value=-1)
    del means
    gradient, pull = weights.index_select(0, slots), pull.index_select(0, slots)
    del weights
    gradient.add_(pull.addcmul_(pull, chances, value=-1), alpha=beta).mul_(chances).mul_(part[slots])
    return values, gradient.scatter_(2, index, -slopes * part[slots])


def _rows(targets: Tensor, classes: int) -> tuple[int, Tensor]:
    """Number of rows for means by class, and the row of each sample's class, ``(N,)``.

    There are as many rows as samples or as classes, whichever is less, so that shapes depend on no value; some rows
    then belong to no class.
    """
    number = len(targets)
    if classes <= number:
        return classes, targets
    order = torch.arange(number, device=targets.device)
    first = targets.new_full((classes,), number).scatter_reduce_(0, targets, order, "amin")
    return number, first[targets]


def _sums(values: Tensor, slots: Tensor, rows: int) -> Tensor:
    return values.new_zeros(rows, *values.shape[1:]).index_add_(0, slots, values)
