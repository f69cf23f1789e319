"""Residual of the learning property over a training set."""

from typing import Any

import torch
from torch import Tensor

from lt_lightning.functional.checks import check_width
from lt_lightning.functional.learning_property import gradient_sides, relative_residual
from lt_lightning.metrics.base import ExactMetric


class LearningPropertyResidual(ExactMetric):
    """How far each class is from the learning property, from gradients of the loss with respect to the logits.

    Where training has converged, what pulls a class's logit up over the whole training set equals what pushes it down;
    the relative difference says which classes are not there yet. Meant for the training set in evaluation mode.
    The state is two numbers per class in fp64, summed over processes; nothing waits for the host.

    Args:
        num_classes: K.
        options: Of every torchmetrics metric, such as ``sync_on_compute``.

    References:
        Li et al., "On the Learning Property of Logistic and Softmax Losses for Deep Neural Networks" (LGL-INR), AAAI
        2020, eq. (8).
    """

    sides: Tensor

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.add_state("sides", torch.zeros(2, num_classes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, gradients: Tensor) -> None:
        """Add a batch.

        Args:
            gradients: Of the summed loss with respect to the training logits, ``(N, K)``.

        Raises:
            UsageError: If ``gradients`` has another number of classes.
        """
        check_width(gradients, self.num_classes, "gradients")
        self.sides = self.sides + gradient_sides(gradients, self.sides.dtype)

    def compute(self) -> Tensor:
        """Relative residual of each class, ``(K,)``, in [-1, 1]; NaN for a class that nothing acts on."""
        return relative_residual(self.sides)

    def with_decay(self, decay: Tensor) -> Tensor:
        """The same where biases are decayed, over all processes (each must call it).

        Args:
            decay: ``(K,)``, as for :func:`lt_lightning.functional.learning_property.relative_residual`.
        """
        with self.over_processes():
            return relative_residual(self.sides, decay)
