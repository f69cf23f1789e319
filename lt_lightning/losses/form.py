"""What kind of probabilities a loss makes of logits, and the temperature that suits them."""

from typing import Literal

import torch

from lt_lightning.functional.temperature import fit_temperature
from lt_lightning.losses.base import Loss

Form = Literal["softmax", "sigmoid", "other"]


def form_of(loss: Loss) -> Form:
    """Whether :meth:`Loss.probabilities` is a softmax or one sigmoid per class, of logits times ``logit_scale``.

    Found by asking it, so that a loss from outside the package need not say.
    """
    # With one class a softmax is 1 and a sigmoid is not; no two of these rows give the same probabilities by chance.
    logits = torch.linspace(-1.3, 1.7, 3 * loss.num_classes, dtype=torch.float64).reshape(3, -1).sin()
    logits = logits.to(loss.counts.device, torch.float32)
    found = loss.probabilities(logits)
    scaled = logits * loss.logit_scale
    candidates: tuple[tuple[Form, torch.Tensor], ...] = (
        ("softmax", torch.softmax(scaled, dim=-1)),
        ("sigmoid", torch.sigmoid(scaled)),
    )
    return next((form for form, wanted in candidates if torch.allclose(found, wanted, atol=1e-5)), "other")


def fit_temperature_of(loss: Loss, logits: torch.Tensor, targets: torch.Tensor) -> float | None:
    """The temperature that suits images which trained nothing, of the likelihood that the loss's probabilities give.

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
    # the logits of all validation images: no copy where none is needed
    scaled = logits if loss.logit_scale == 1 else logits * loss.logit_scale
    return fit_temperature(scaled, targets, form == "sigmoid")
