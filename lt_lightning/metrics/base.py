"""What metrics have in common: exact counters on every device, and checks of what they are given."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from torch import Tensor
from torchmetrics import Metric

from lt_lightning.errors import check_thresholds, checked_counts
from lt_lightning.functional.groups import group_of
from lt_lightning.functional.precision import keeping_precision


class ExactMetric(Metric):
    """A metric whose fp64 state stays fp64 when a module is cast, or as wide as the device has when it is moved."""

    is_differentiable = False
    full_state_update = False

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> "ExactMetric":
        super()._apply(keeping_precision(fn), exclude_state)
        return self

    def over_processes(self) -> AbstractContextManager[None]:
        """The state summed over processes for a while, if and how its options have it, as ``compute`` does."""
        return self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self.sync_on_compute)


def group_masks(class_counts: Sequence[int], group_thresholds: tuple[int, int]) -> Tensor:
    """Check what the groups are made from and return their masks, ``(3, K)``; a class may have no training image.

    Raises:
        UsageError: If a count is negative or no whole number, or the thresholds do not rise from 0.
    """
    check_thresholds("group_thresholds", group_thresholds)
    return group_of(checked_counts(class_counts, least=0), group_thresholds)
