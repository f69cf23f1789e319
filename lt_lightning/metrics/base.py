"""What metrics have in common: exact counters on every device, and checks of what they are given."""

from collections.abc import Callable, Sequence

from torch import Tensor
from torchmetrics import Metric

from lt_lightning.errors import UsageError, check_thresholds
from lt_lightning.functional.device import keeping_precision
from lt_lightning.functional.groups import group_of


class ExactMetric(Metric):
    """A metric whose fp64 state stays as it is when a module is cast, and as wide as can be when it is moved."""

    is_differentiable = False
    full_state_update = False

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> "ExactMetric":
        super()._apply(keeping_precision(fn), exclude_state)
        return self


def group_masks(class_counts: Sequence[int], thresholds: tuple[int, int]) -> Tensor:
    """Check ``thresholds`` and return the masks of the groups, ``(3, K)``.

    Raises:
        UsageError: If the thresholds do not rise from 0.
    """
    check_thresholds("thresholds", thresholds)
    return group_of(class_counts, thresholds)


def check_width(values: Tensor, num_classes: int, name: str = "logits") -> None:
    """Refuse what is not ``(N, num_classes)``.

    Raises:
        UsageError: In a sentence that calls ``values`` by ``name``.
    """
    if values.ndim != 2 or values.shape[1] != num_classes:
        raise UsageError(f"`{name}` must have shape (N, {num_classes}), but got {tuple(values.shape)}.")
