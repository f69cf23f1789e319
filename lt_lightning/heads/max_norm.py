"""Linear classifier with bounded weights."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_lightning.errors import check_above_0, check_share, check_word
from lt_lightning.functional.classifiers import measured_radius, project_rows
from lt_lightning.heads.affine import AffineHead
from lt_lightning.heads.base import Moment


class MaxNormHead(AffineHead):
    """Logits ``Wx + b`` with ``‖w_c‖`` at most a radius. Trains weight and bias; the bias is never projected.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.
        radius: Largest allowed norm; ``None`` measures it from the weights the head starts from, once, as
            ``min + threshold · (max - min)`` of their norms. It is kept in the checkpoint. In stage 1 these weights
            are random and say nothing, their norms all near 0.58: give a radius there.
        threshold: Share of the way from the least norm to the largest; 0.1 is the published code's.
        project_every: ``step``, after every optimiser step, as the paper says, or ``epoch``, as its code does.

    Raises:
        UsageError: If ``radius`` is not positive, ``threshold`` outside [0, 1], or ``project_every`` unknown.

    References:
        Alshammari et al., "Long-Tailed Recognition via Weight Balancing", CVPR 2022.
    """

    radius: Tensor

    def __init__(
        self,
        in_features: int,
        class_counts: Sequence[int],
        radius: float | None = None,
        threshold: float = 0.1,
        project_every: Moment = "step",
    ) -> None:
        super().__init__(in_features, class_counts)
        check_above_0(radius=radius)
        check_share(threshold=threshold)
        check_word("project_every", project_every, Moment)
        self.threshold = threshold
        self.project_every = project_every
        self._measures = radius is None
        self.register_buffer("radius", torch.tensor(0.0 if radius is None else radius))
        self._measure()

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``Wx + b``, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        return super().forward(features)

    def init_from(self, weight: Tensor, bias: Tensor | None) -> None:
        """Copy a stage-1 classifier, and measure the radius from it unless one was given.

        Args:
            weight: ``(K, D)``.
            bias: ``(K,)``, or ``None`` for 0.

        Raises:
            UsageError: If a shape differs from this head's.
        """
        super().init_from(weight, bias)
        self._measure()

    @torch.no_grad()
    def project_(self) -> None:
        """Shorten the weight vectors that are longer than the radius to it, in place."""
        self.weight.copy_(project_rows(self.weight, self.radius))

    @torch.no_grad()
    def _measure(self) -> None:
        if self._measures:
            self.radius.copy_(measured_radius(self.weight, self.threshold))
