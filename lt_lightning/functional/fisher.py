"""How far apart classes lie in feature space, relative to their width."""

from torch import Tensor


def fisher_ratio(sums: Tensor, squares: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Scatter between classes and within them, per sample; their quotient is the Fisher discriminant ratio.

    Between: ``tr S_B = Σ_c n_c |μ_c - μ|² / N``; within: ``tr S_W = Σ_i |h_i - μ_{y_i}|² / N``. The quotient of traces
    needs no D × D matrix and stays finite where S_W is singular (more features than samples), which
    ``tr(S_W⁻¹ S_B)``, the other definition in use, does not. It does change with the scale of single features.

    Args:
        sums: Sum of the features h of each class's samples, ``(K, D)``, in fp64 where there is one.
        squares: Sum of the squared norms of all features, a scalar.
        total: Samples of each class, ``(K,)``.

    Returns:
        Two scalars; NaN without samples.

    References:
        Fukunaga, "Introduction to Statistical Pattern Recognition", 1990, section 10.2, criterion J4; used on
        long-tailed features by Hasegawa & Sato, "Exploring Weight Balancing on Long-Tailed Recognition Problem", ICLR
        2024 (there as ``tr(S_W⁻¹ S_B)``).
    """
    number = total.sum()
    norms = (sums.square().sum(dim=1) / total.clamp_min(1)).sum()  # Σ_c n_c |μ_c|²; a class without samples adds 0
    between = (norms - sums.sum(dim=0).square().sum() / number) / number
    within = ((squares - norms) / number).clamp_min(0.0)
    return between, within
