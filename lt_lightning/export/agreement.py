"""How far a program's outputs are from a module's, in numbers that large weights do not make alike.

Probabilities alone would say little: of a module that is sure of everything they are 1 and next to nothing, whichever
way its classifier's rows are ordered. Logits are held against each other as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lt_lightning.export.program import Program
from lt_lightning.losses import Loss
from lt_lightning.losses.form import form_of

Function = Callable[[Tensor], Tensor]

TOLERANCE = 1e-4
"""Largest difference that is let through: absolute of probabilities, relative of logits."""

_EXACT = 100.0
"""Up to logits of this size fp32 gives probabilities to :data:`TOLERANCE`: two ways to compute a network part by about
1e-6 of the largest logit, and probabilities by half as much as logits."""

_OFFSET = 0.01
"""Share of what all logits of an image have in common that counts as size: fp32 rounds that too."""


@dataclass(frozen=True)
class Differences:
    """How far what a file computes is from its checkpoint; infinite for another shape, NaN for what is no number."""

    logits: float
    """Largest difference of logits, over :func:`size_of` the checkpoint's."""
    largest: float
    """The checkpoint's largest logit."""
    probabilities: float | None = None
    """Largest difference from the checkpoint's probabilities; ``None`` for a file that gives logits."""
    last_step: float | None = None
    """Largest difference from the probabilities that the loss makes of the file's own logits; ``None`` likewise."""

    def refusal(self) -> str | None:
        """The first difference that is not let through and what it may be, for a sentence."""
        wide = TOLERANCE * max(1.0, self.largest / _EXACT)  # of larger logits probabilities are less exact
        for found, limit, unit in (
            (self.last_step, TOLERANCE, "in a probability"),
            (self.probabilities, wide, "in a probability"),
            (self.logits, TOLERANCE, "of the largest logit"),
        ):
            if found is not None and not found <= limit:
                return f"{found:.1e}, more than {limit:.0e} {unit}"
        return None

    def __str__(self) -> str:
        of_logits = f"{self.logits:.1e} of the largest logit"
        return of_logits if self.probabilities is None else f"{self.probabilities:.1e} in a probability and {of_logits}"


def differences(program: Program, run: Function, logits: Function, batches: Sequence[Tensor]) -> Differences:
    """Compare a file with its program.

    Args:
        program: Tells what is expected.
        run: The file's outputs of images.
        logits: Those of a file that was made alike, but gives logits; ``run`` itself if that gives them.
        batches: ``(N, C, H, W)`` each.
    """
    expected = torch.cat([program.scaled_logits(images) for images in batches])
    own = torch.cat([logits(images) for images in batches])
    apart, largest = logits_apart(program.loss, own, expected), _largest(expected)
    if program.logits:
        return Differences(max(apart, _relative(own, expected, largest), key=_nan_last), largest)
    found = torch.cat([run(images) for images in batches])
    made = _probabilities(program.loss, own) if own.shape == expected.shape else own
    probabilities = torch.cat([program(images) for images in batches])
    return Differences(apart, largest, _absolute(found, probabilities), _absolute(found, made))


def logits_apart(loss: Loss, found: Tensor, expected: Tensor) -> float:
    """Largest difference of logits over their size; both ``(N, K)``, times the loss's scale.

    What all logits of an image have in common changes no softmax: it is taken off before.
    """
    size = size_of(loss, expected)
    if form_of(loss) == "softmax" and found.shape == expected.shape:
        found, expected = _centred(found), _centred(expected)
    return _relative(found, expected, size)


def size_of(loss: Loss, logits: Tensor) -> float:
    """The largest logit; before a softmax, the largest after each image's mean was taken off.

    Args:
        loss: Makes probabilities of them.
        logits: ``(N, K)``; those that are not finite are left out.
    """
    largest = _largest(logits)
    return max(_largest(_centred(logits)), _OFFSET * largest) if form_of(loss) == "softmax" else largest


def _probabilities(loss: Loss, scaled: Tensor) -> Tensor:
    form = form_of(loss)
    if form == "other":
        return loss.probabilities(scaled / loss.logit_scale)
    return torch.sigmoid(scaled) if form == "sigmoid" else torch.softmax(scaled, dim=-1)  # of the very same numbers


def _centred(logits: Tensor) -> Tensor:
    finite = logits.isfinite()
    common = logits.masked_fill(~finite, 0).sum(dim=-1, keepdim=True) / finite.sum(dim=-1, keepdim=True).clamp(min=1)
    return logits - common


def _largest(values: Tensor) -> float:
    return float(values.masked_fill(~values.isfinite(), 0).abs().max())


def _relative(found: Tensor, expected: Tensor, size: float) -> float:
    return _absolute(found, expected) / max(size, torch.finfo(expected.dtype).tiny)


def _absolute(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().masked_fill(found == expected, 0).max())  # of infinities, 0 or NaN


def _nan_last(value: float) -> tuple[bool, float]:
    return value != value, value
