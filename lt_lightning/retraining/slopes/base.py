"""The contract between a stack of heads and the losses that move it."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence

from torch import Tensor

from lt_lightning.losses import Loss


class Slopes(ABC):
    """Base of what gives the derivatives of the losses of H heads by their logits.

    Args:
        losses: One of each head, H of them, with one :meth:`key`.
        like: Of the dtype and on the device of the logits.
    """

    def __init__(self, losses: Sequence[Loss], like: Tensor) -> None:  # noqa: ARG002
        self.losses = list(losses)

    @staticmethod
    @abstractmethod
    def key(loss: Loss) -> Hashable | None:
        """What losses must have in common to be taken together; ``None`` for a loss that this class cannot serve.

        Only classes known here count, not classes derived from them, which may compute something else.
        """

    @abstractmethod
    def __call__(self, logits: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, float]:
        """Derivatives of a batch.

        Args:
            logits: ``(N, H, K)``, contiguous.
            targets: ``(N,)``, int64.
            features: ``(N, D)``.

        Returns:
            ``(N, H, K)``, which the caller may overwrite, and the number that they are still to be multiplied by.
        """

    def write_back(self) -> None:  # noqa: B027  # a hook
        """Give each loss the state that it would have from training alone; most have none."""


def constants(loss: Loss) -> Hashable:
    """Class, arguments and buffers of a loss: equal for two that compute the same."""
    own = {name: value for name, value in vars(loss).items() if not name.startswith("_") and name != "training"}
    buffers = {name: tuple(buffer.tolist()) for name, buffer in loss.named_buffers()}
    return type(loss), repr(sorted(own.items())), tuple(sorted(buffers.items()))


def target_index(logits: Tensor, targets: Tensor) -> Tensor:
    """Places of the targets in logits ``(N, H, K)``, as ``gather`` and ``scatter`` want them: ``(N, H, 1)``."""
    return targets.view(-1, 1, 1).expand(-1, logits.shape[1], 1)


def by_head(values: Tensor, heads: int) -> Tensor:
    """What belongs to samples, ``(N,)``, for the rows of all heads, ``(N·H,)``."""
    return values.unsqueeze(1).expand(-1, heads).reshape(-1)
