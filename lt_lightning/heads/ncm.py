"""Nearest class mean."""

from collections.abc import Sequence
from math import nan
from typing import Literal

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError, check_word
from lt_lightning.functional.checks import check_width
from lt_lightning.functional.classifiers import (
    class_means,
    cosine_logits,
    directions,
    mean_features,
    nearest_mean_bias,
    nearest_mean_logits,
)
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.heads.affine import make_linear
from lt_lightning.heads.base import Head
from lt_lightning.wording import numbers

Metric = Literal["cosine", "euclidean"]


class NCMHead(Head):
    """Similarity of an image's features to the mean of each class's. Trains nothing: one pass over the training images.

    ====================  ======  ============================  ========================================
    ``metric``            centre  features and means are        logits
    ====================  ======  ============================  ========================================
    ``cosine``, default   no      divided by their norm         ``cos(μ_c, x)``
    ``cosine``            yes     centred, then divided         ``cos(μ_c, x - x̄)``
    ``euclidean``         no      as they are                   ``2 μ_c·x - ‖μ_c‖²``
    ``euclidean``         yes     centred, then divided         ``2 μ_c·x' - ‖μ_c‖²``, ``x'`` of length 1
    ====================  ======  ============================  ========================================

    Means are taken after features were divided, x̄ over all training images. Euclidean logits are the negative squared
    distance up to a constant of each image, so both softmax and order are the distance's. Centring alone changes no
    distance; it goes with the division, as in ``cl2n`` of the published code. Every class has one mean, however many
    images it has, so priors play no part. A stage-1 classifier is looked at for its shape only. Until
    :meth:`init_from_features` or a checkpoint has given the means, all logits are NaN.

    Args:
        in_features: Length D of a feature vector.
        class_counts: Training images per class, length K.
        metric: ``cosine`` or ``euclidean``.
        centre: Whether to subtract the mean of all training features, and divide by the norm, with either metric.

    Raises:
        UsageError: If ``metric`` is unknown.

    References:
        ``KNNClassifier`` of Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR
        2020; its ``l2n`` and ``cl2n`` with the cosine, its ``un`` and ``cl2n`` with the Euclidean distance.
    """

    rebalances = True
    needs_features = True
    means: Tensor
    centre_of_features: Tensor

    def __init__(
        self,
        in_features: int,
        class_counts: Sequence[int],
        metric: Metric = "cosine",
        centre: bool = False,
    ) -> None:
        super().__init__(in_features, class_counts)
        check_word("metric", metric, Metric)
        self.metric = metric
        self.centre = centre
        self.register_buffer("means", torch.full((self.num_classes, in_features), nan))
        self.register_buffer("centre_of_features", torch.zeros(in_features))

    def init_from(self, weight: Tensor, bias: Tensor | None) -> None:
        """Check the shape of a stage-1 classifier; nothing else of it is used.

        Args:
            weight: ``(K, D)``.
            bias: ``(K,)`` or ``None``.

        Raises:
            UsageError: If a shape differs from this head's.
        """
        self.check_classifier(weight, bias)

    @torch.no_grad()
    def init_from_features(self, features: Tensor, targets: Tensor) -> None:
        """Take the class means of the training features.

        Args:
            features: ``(N, D)``, of every training image once, without augmentation.
            targets: ``(N,)``, int64.

        Raises:
            UsageError: If rows are of another length, or a class has another number of them than ``class_counts`` says.
        """
        check_width(features, self.in_features, "features")
        found = torch.bincount(targets, minlength=self.num_classes).tolist()
        if found != self.class_counts:
            pairs = enumerate(zip(self.class_counts, found, strict=False))  # there may be classes too many
            wrong = [place for place, (count, number) in pairs if count != number]
            raise UsageError(
                f"`targets` must hold each class as often as `class_counts`, {numbers(self.class_counts, wrong)}, for "
                f"`NCMHead`, but got {numbers(found, wrong)}."
            )
        if self.centre:
            self.centre_of_features.copy_(mean_features(features))
        self.means.copy_(class_means(features, targets, self.num_classes, self._prepare))

    def forward(self, features: Tensor) -> Tensor:
        """Similarities, ``(N, D)`` to ``(N, K)``, in fp32 at least."""
        check_width(features, self.in_features, "features")
        features = self._prepare(features)
        return (cosine_logits if self.metric == "cosine" else nearest_mean_logits)(features, self.means)

    def to_linear(self) -> nn.Linear:
        """A linear layer with weights ``2 μ_c`` and bias ``-‖μ_c‖²``, for the Euclidean metric without centring.

        Raises:
            UsageError: If features are divided by their norms.
        """
        if self.metric == "cosine" or self.centre:
            raise UsageError(
                f"`NCMHead` with `metric` {self.metric} and `centre` {str(self.centre).lower()} equals no plain linear "
                f"layer: it divides each feature vector by its norm; only euclidean without centring does not."
            )
        return make_linear(2 * self.means, nearest_mean_bias(self.means).to(self.means.dtype))

    def _prepare(self, features: Tensor) -> Tensor:
        features = at_least_fp32(features)
        if self.metric == "euclidean" and not self.centre:
            return features
        return directions(features - self.centre_of_features.to(features.dtype))
