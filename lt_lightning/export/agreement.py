"""How far a program's outputs are from a module's, in numbers that large weights do not make alike.

Probabilities alone would say little: of a module that is sure of everything they are 1 and next to nothing, whichever
way its classifier's rows are ordered.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lt_lightning.export.program import Program
from lt_lightning.losses import Loss

Function = Callable[[Tensor], Tensor]


def differences(program: Program, run: Function, logits: Function | None, images: Tensor) -> list[float]:
    """How far what a file computes is from its program; nothing is near what is no number or has another shape.

    Args:
        program: Tells what is expected.
        run: The file's outputs of images.
        logits: What the file takes the softmax or the sigmoid of, if it does, else ``None``.
        images: ``(N, C, H, W)``.

    Returns:
        Of logits their difference over the size of the largest. Of probabilities, first theirs from what the file's
        own logits make, then that of logits. Where the file's logits are not to be had or the loss makes something else
        of them, first the probabilities' difference, then that of their logarithms over the size of the largest logit;
        logarithms of less than fp32 holds are taken for equal.
    """
    expected, found = program.scaled_logits(images), run(images)
    if program.logits:
        return [relative(found, expected)]
    if logits is None or type(program.loss).probabilities is not Loss.probabilities:
        size = max(1.0, _size(expected))
        probabilities = program(images)
        return [_absolute(found, probabilities), _absolute(_log(found) / size, _log(probabilities) / size)]
    own = logits(images)
    made = torch.sigmoid(own) if program.loss.one_vs_all else torch.softmax(own, dim=-1)
    return [_absolute(found, made), relative(own, expected)]


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest finite number that is expected; both ``(N, K)``."""
    difference = _absolute(found, expected)
    return difference / max(_size(expected), torch.finfo(expected.dtype).tiny)


def _size(values: Tensor) -> float:
    return float(values.masked_fill(~values.isfinite(), 0).abs().max())


def _absolute(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().masked_fill(found == expected, 0).max())  # of infinities, 0 or NaN


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()
