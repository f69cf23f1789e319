"""The training loss of many steps, added up where it is."""

from torch import Tensor


class LossSum:
    """Sum and number of losses, kept on their device: read when it is logged or saved, so that no step waits for it.

    No buffer of a module: those take on the module's precision, and DDP overwrites them with the first process's.

    Args:
        total: Sum of the losses that came before.
        steps: How many these were.
    """

    def __init__(self, total: Tensor | float = 0.0, steps: int = 0) -> None:
        self.total = total
        self.steps = steps

    def add(self, loss: Tensor) -> None:
        """Add one step's loss."""
        self.total = self.total + loss.float()
        self.steps += 1

    def mean(self) -> Tensor | float:
        """Mean over the steps, of which there must be one."""
        return self.total / self.steps

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps of it; waits for the device."""
        return {"total": float(self.total), "steps": self.steps}
