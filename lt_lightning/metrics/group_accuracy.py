"""Accuracy over all classes, over many-, medium- and few-shot classes, and per class."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.checks import check_targets, check_width
from lt_lightning.functional.groups import GROUPS, class_accuracies, group_accuracies, group_means
from lt_lightning.functional.ranking import classes_ahead
from lt_lightning.metrics.base import ExactMetric, group_masks


class GroupAccuracy(ExactMetric):
    """Accuracy of groups of classes, from how many images of each class there were and how many were right.

    The state is two numbers per class, and one for each entry of ``top_k``, summed over processes; nothing waits for
    the host. Of classes with equal logits the first counts as the larger, as for ``argmax``.

    Args:
        class_counts: Training images per class, length K; they decide the groups.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".
        top_k: For each k also the share of images whose class is among the k largest logits; a k that reaches the
            number of classes, where that is every image, is left out. 5 is what ImageNet's tables give beside top 1.
        options: Of every torchmetrics metric, such as ``sync_on_compute``.

    Raises:
        UsageError: If a count is negative or no whole number, the thresholds do not rise from 0, or a k is below 2.
    """

    higher_is_better = True

    correct: Tensor
    total: Tensor
    correct_within: Tensor
    masks: Tensor
    ranks: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        group_thresholds: tuple[int, int] = (20, 100),
        top_k: Sequence[int] = (5,),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        masks = group_masks(class_counts, group_thresholds)
        self.num_classes = masks.shape[1]
        if any(k < 2 for k in top_k):
            raise UsageError(f"`top_k` must hold numbers from 2 on (1 is always there), but got {tuple(top_k)}.")
        self.top_k = tuple(sorted({k for k in top_k if k < self.num_classes}))
        self.register_buffer("ranks", torch.tensor([[1], *([k] for k in self.top_k)]), persistent=False)
        self.register_buffer("masks", masks, persistent=False)
        self.group_sizes = dict(zip(GROUPS, self.masks.sum(dim=1).tolist(), strict=True))
        self.add_state("correct", torch.zeros(self.num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        within = torch.zeros(len(self.top_k), self.num_classes, dtype=torch.int64)
        self.add_state("correct_within", within, dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(self.num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Count a batch.

        Args:
            logits: ``(N, K)``.
            targets: ``(N,)``, int64.

        Raises:
            UsageError: If ``logits`` has another number of classes, or ``targets`` another shape or type.
        """
        check_width(logits, self.num_classes)
        check_targets(targets, len(logits))
        hits = (classes_ahead(logits, targets, max((1, *self.top_k))) < self.ranks).to(torch.int64)
        self.correct = self.correct.index_add(0, targets, hits[0])
        self.correct_within = self.correct_within.index_add(1, targets, hits[1:])
        self.total = self.total.index_add(0, targets, torch.ones_like(targets))

    def compute(self) -> dict[str, Tensor]:
        """Accuracies in [0, 1], as scalars.

        Returns:
            ``all``, ``many``, ``medium``, ``few``: means of the accuracies of classes with images, NaN without any;
            ``micro``: share of all images; ``harmonic`` and ``geometric``: means over the same classes, 0 if one of
            them has accuracy 0; ``worst``: the least accuracy of a class; ``top5`` and so on for each k of ``top_k``:
            mean over the same classes, as ``all``.
        """
        found = group_accuracies(self.correct, self.total, self.masks)
        everything = torch.ones_like(self.masks[:1])
        for k, correct in zip(self.top_k, self.correct_within.unbind(), strict=True):
            found[f"top{k}"] = group_means(class_accuracies(correct, self.total), everything).squeeze(0)
        return found

    def counts(self) -> tuple[Tensor, Tensor]:
        """Images of each class that were right, and all of them, ``(K,)`` each, over all processes.

        Under several processes each of them must call it.
        """
        with self.over_processes():
            return self.correct.clone(), self.total.clone()

    def per_class(self) -> Tensor:
        """Accuracy of each class, ``(K,)``, NaN without images, over all processes (each must call it)."""
        return class_accuracies(*self.counts())
