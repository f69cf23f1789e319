"""What kind of probabilities a loss makes of logits, and the temperature that suits them."""

from typing import Literal

import torch

from lt_lightning.functional.temperature import fit_temperature
from lt_lightning.losses.base import Loss

Form = Literal["softmax", "sigmoid", "other"]


def form_of(loss: Loss) -> Form:
    """Whether :meth:`Loss.probabilities` is a softmax or one sigmoid per class, of logits times ``logit_scale``.

    A loss that overrides that method has other ones.
    """
    if type(loss).probabilities is not Loss.probabilities:
        return "other"
    return "sigmoid" if loss.one_vs_all else "softmax"


def fit_temperature_of(loss: Loss, logits: torch.Tensor, targets: torch.Tensor) -> float | None:
    """Fit the temperature to images that were not trained on, by the likelihood of the loss's probabilities.

    Args:
        loss: What the logits were trained with.
        logits: ``(N, K)``, as its :meth:`Loss.probabilities` takes them.
        targets: ``(N,)``, int64.

    Returns:
        As :func:`lt_lightning.functional.fit_temperature`; ``None`` where probabilities are neither a softmax nor
        sigmoids, whose likelihood is not known.
    """
    form = form_of(loss)
    if form == "other":
        return None
    # these are the logits of all validation images, so they are not copied without need
    scaled = logits if loss.logit_scale == 1 else logits * loss.logit_scale
    return fit_temperature(scaled, targets, form == "sigmoid")
