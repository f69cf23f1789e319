"""Lightning's callbacks that would do harm to a module of ours without a word."""

from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning, StochasticWeightAveraging

from lt_lightning.errors import UsageError
from lt_lightning.modules.batch_norm import BatchNorm


def check_stays_frozen(trainer: Trainer) -> None:
    """Refuse what would change a frozen backbone.

    Args:
        trainer: That is to train stage 2.

    Raises:
        UsageError: If a callback unfreezes the backbone, or averages weights as SWA does: its last epoch begins with
            batch-normalisation statistics of nothing, and where they are kept, nothing is what remains.
    """
    for callback in cast(Any, trainer).callbacks:
        name = type(callback).__name__
        if isinstance(callback, BaseFinetuning):
            raise UsageError(
                f"`trainer.callbacks` {name} unfreezes parts of a network, and the backbone of stage 2 stays frozen; "
                f"leave it out, or use it in stage 1, `--model RepresentationModule`."
            )
        if isinstance(callback, StochasticWeightAveraging):
            raise UsageError(
                f"`trainer.callbacks` {name} resets the statistics of a network, and the backbone of stage 2 stays as "
                f"it is; use `WeightEMA`, which averages the weights that train."
            )


def check_average_is_kept(module: LightningModule, trainer: Trainer) -> None:
    """Refuse an average that no checkpoint and no validation would be of.

    SWA puts it into a network with batch normalisation before a last epoch, which collects its statistics, into
    others after all has been saved.

    Args:
        module: That is to be trained.
        trainer: That is to train it.

    Raises:
        UsageError: If the average would come too late.
    """
    if any(isinstance(layer, BatchNorm) for layer in module.modules()):
        return
    for callback in cast(Any, trainer).callbacks:
        if isinstance(callback, StochasticWeightAveraging):
            raise UsageError(
                f"`trainer.callbacks` {type(callback).__name__} averages weights without batch normalisation only "
                f"after the last checkpoint and validation, which would not be of the average; use `WeightEMA`."
            )
