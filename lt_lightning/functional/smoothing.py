"""Label over-smoothing: its strength as a probability and as the logit gap it leaves."""

from math import exp, inf, log


def delta_from_gap(gap: float, num_classes: int) -> float:
    """Smoothing δ whose minimiser separates the target logit from the others by ``gap``: ``K / (K + e^gap - 1)``.

    Args:
        gap: At least 0, in units of the logits.
        num_classes: K.

    Returns:
        δ in [0, 1].
    """
    # Both terms divided by e^gap, which overflows from 710 on.
    others = num_classes * exp(-gap)
    return others / (others + 1 - exp(-gap))


def gap_from_delta(delta: float, num_classes: int) -> float:
    """Logit gap that smoothing with ``delta`` leaves at its optimum, ``log(1 + K (1 - δ) / δ)``.

    With smoothed labels q the loss is least where softmax equals q: δ/K for each other class, δ/K + 1 - δ for the
    target.

    Args:
        delta: In [0, 1]; 0 leaves an infinite gap.
        num_classes: K.

    Returns:
        The gap, in units of the logits: 1.11 at K = 100 and δ = 0.98.
    """
    return log(1 + num_classes * (1 - delta) / delta) if delta > 0 else inf
