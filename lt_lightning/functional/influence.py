"""Influence of samples on the decision boundary."""

from torch import Tensor

from lt_lightning.functional.focal import wrongness


def influence(losses: Tensor, features: Tensor) -> Tensor:
    """``‖p - onehot(y)‖₁ ‖h‖₁``: the L1 norm of the gradient of cross entropy by the classifier's weights.

    The first factor is ``2 (1 - p_y)``, so it needs no probabilities.

    Args:
        losses: Cross entropy of each sample without class weights, ``(N,)``.
        features: h, ``(N, D)``, fp32 at least.

    Returns:
        ``(N,)``, of the dtype of ``losses``, differentiable by both.

    References:
        Park et al., "Influence-Balanced Loss for Imbalanced Visual Classification", ICCV 2021.
    """
    return 2 * wrongness(losses) * features.abs().sum(dim=1).to(losses.dtype)
