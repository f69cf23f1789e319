"""From instance-balanced to class-balanced in the course of training."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.samplers.multinomial import MultinomialSampler


class ProgressiveSampler(MultinomialSampler):
    """Class probabilities that move in a straight line from a class's share of the images to 1/K.

    ``p(t) = (1 - t) n_c / N + t / K``, where t is 0 in the first epoch and 1 in the last: the paper's t/T, with the
    ends of its published code. What an epoch shows follows from ``(seed, epoch, epochs)`` alone, so a resumed run of
    the same length goes on exactly.

    Args:
        targets: Class of each training image, shape ``(N,)``.
        seed: Seed of the draws.
        epochs: Epochs until classes are balanced, and stay so; ``None`` takes the trainer's ``max_epochs``.

    Raises:
        UsageError: If ``epochs`` is below 1, or neither it nor the trainer says where training ends.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, eq. 2.
    """

    def __init__(self, targets: Sequence[int] | Tensor, seed: int = 0, epochs: int | None = None) -> None:
        super().__init__(targets, seed)
        if epochs is not None and epochs < 1:
            raise UsageError(f"`epochs` of `ProgressiveSampler` must be at least 1, but got {epochs}.")
        self.epochs = epochs

    def set_epochs(self, epochs: int | None) -> None:
        """Take the length of training, unless the user has given one."""
        super().set_epochs(epochs)
        self._length()

    @property
    def progress(self) -> float:
        """How far ``self.epoch`` is on the way, from 0 to 1; 0 if there is but one epoch."""
        return min(self.epoch / max(self._length() - 1, 1), 1.0)

    def class_probabilities(self) -> Tensor:
        """Between the classes' shares and equal ones."""
        shares = self.class_counts.double() / len(self.targets)
        return (1 - self.progress) * shares + self.progress / len(shares)

    def _length(self) -> int:
        if self.epochs is None:
            raise UsageError(
                "`ProgressiveSampler` needs to know where training ends: set `trainer.max_epochs`, or its `epochs`."
            )
        return self.epochs
