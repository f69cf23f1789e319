"""A moving average of the weights, which is what a run evaluates and leaves behind."""

from collections.abc import Container, Mapping
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ModelPruning, StochasticWeightAveraging, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lt_lightning.errors import UsageError
from lt_lightning.functional.precision import at_least_fp32
from lt_lightning.modules import LTModule
from lt_lightning.modules.combinations import check_average

TRAINING_WEIGHTS = "weights_in_training"
"""Key of a checkpoint that holds the weights that training goes on from."""
AVERAGE_IN_FULL = "average_in_full"
"""Key of a checkpoint that holds those tensors of the average that the weights' precision rounds, as with bf16-true."""


class WeightEMA(Callback):
    """Validate, save and leave an exponential moving average of the weights; the optimiser keeps its own.

    After every optimiser step the average moves towards the weights by a share ``1 - d``, where ``d`` is the smaller of
    ``decay`` and ``(1 + step) / (10 + step)``, as in TensorFlow's ``ExponentialMovingAverage``, so that a short run
    does not end with the weights it started from. Parameters that train are averaged and, by the same rule, the running
    statistics of batch normalisation, which are means over steps already. What a loss keeps account of is not. A
    parameter that is unfrozen later, as by Lightning's ``BackboneFinetuning``, joins in at the beginning of an epoch.

    A checkpoint's ``state_dict`` holds the average, so stage 2, ``test`` and ``predict`` take it without knowing; the
    weights in training lie beside it, and a resumed run goes on from them. After ``fit`` the module holds the average.

    Lightning's ``EMAWeightAveraging`` is not used: it waits for the device once a step, it also averages whole numbers
    and a loss's state, and it takes the average out of the module before our metrics are closed.

    Args:
        decay: Share of the average that stays in each step, 0 or more and below 1; 0.999 remembers about 1,000 steps.

    Raises:
        UsageError: If ``decay`` is out of range; when training starts, if another callback saves checkpoints of
            weights alone, which would not be the averaged ones, prunes weights, which makes others of them, or leaves
            an average of its own, or if the head projects its weights once an epoch, which their average would miss.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UsageError(f"`decay` of `WeightEMA` must be at least 0 and below 1, but got {decay}.")
        self.decay = decay
        self._average: dict[str, Tensor] = {}
        self._current: dict[str, Tensor] = {}
        """The module's own, by the same names; found once an epoch, for naming takes a good part of a GPU's step."""
        self._training: dict[str, Tensor] = {}
        """The weights in training, while the module holds the average."""
        self._steps = 0
        self._resumed: Mapping[str, Tensor] = {}
        self._resumed_average: Mapping[str, Tensor] = {}

    def decay_at(self, step: int) -> float:
        """Share of the average that stays in a step, counted from 1."""
        return min(self.decay, (1 + step) / (10 + step))

    @property
    def diagnostics(self) -> dict[str, Any]:
        """What a results file records."""
        return {"weight_ema": {"decay": self.decay}}

    # -- training ----------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget an earlier run."""
        if stage != "fit":
            return
        self._average, self._current, self._training, self._resumed, self._resumed_average = {}, {}, {}, {}, {}
        self.check_run(trainer, pl_module)

    def check_run(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Refuse what does not go with it before anything trains; a pipeline asks this of all stages first.

        Args:
            trainer: That is to train.
            pl_module: What is trained.

        Raises:
            UsageError: If another callback would undo the average, or be undone by it, or the head's weights keep to
                their bounds only as an epoch ends.
        """
        if isinstance(pl_module, LTModule):
            check_average(pl_module.head, type(self).__name__)
        for callback in cast(Any, trainer).callbacks:
            if isinstance(callback, ModelPruning):
                raise UsageError(
                    "`ModelPruning` does not go with `WeightEMA`: it renames the weights whose average is to be kept; "
                    "leave out one of the two."
                )
            if isinstance(callback, StochasticWeightAveraging | WeightAveraging):
                raise UsageError(
                    f"`{type(callback).__name__}` does not go with `WeightEMA`: each would put its own average of the "
                    f"weights in the place of the other's; leave out one of the two."
                )
            if isinstance(callback, ModelCheckpoint) and callback.save_weights_only:
                raise UsageError(
                    "`save_weights_only` of `ModelCheckpoint` cannot be true beside `WeightEMA`: Lightning would save "
                    "the weights in training instead of their average; leave it out."
                )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the weights as they are, or from a checkpoint's average."""
        self._average, self._current = {}, {}
        self._begin(_averaged(pl_module, also=self._resumed))
        self._steps = trainer.global_step
        for name, tensor in self._resumed_average.items():
            self._average[name].copy_(tensor)
        for name, tensor in self._resumed.items():  # the module has loaded the average
            self._current[name].data.copy_(tensor)
        self._resumed, self._resumed_average = {}, {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:  # noqa: ARG002
        """Take in what an epoch unfreezes, whichever callback does it in whatever order."""
        if batch_idx == 0:
            self._begin(_averaged(pl_module))

    def _begin(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            if name not in self._current:
                self._current[name] = tensor
                self._average[name] = at_least_fp32(tensor.detach()).clone()

    def _look_again(self, pl_module: LightningModule) -> None:
        """Take the module's own tensors as they are now: some modules put others in the place of their buffers."""
        found = _averaged(pl_module, also=self._current)
        self._current = {name: found[name] for name in self._current}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ARG002
        """Move the average, where the batch has ended in an optimiser step."""
        if trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        current = [at_least_fp32(tensor.detach()) for tensor in self._current.values()]
        move = get_ema_multi_avg_fn(self.decay_at(self._steps))  # type: ignore[no-untyped-call]
        with torch.no_grad():
            move(list(self._average.values()), current, self._steps)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave the average in the module."""
        self._hold_average(pl_module, True)

    # -- validation --------------------------------------------------------------------------------------------------

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Validate the average."""
        self._hold_average(pl_module, True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the weights in training; the module has closed its metrics by now."""
        if trainer.state.fn == "fit":
            self._hold_average(pl_module, False)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Whatever is interrupted leaves the average."""
        self._hold_average(pl_module, True)

    def _hold_average(self, pl_module: LightningModule, average: bool) -> None:
        if not self._average or bool(self._training) == average:
            return
        self._look_again(pl_module)
        wanted = self._average if average else self._training
        self._training = {name: tensor.data.clone() for name, tensor in self._current.items()} if average else {}
        for name, tensor in self._current.items():
            tensor.data.copy_(wanted[name])  # the average stays as it is: the module may hold it with fewer digits

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Put the average in the place of the weights in training, and those beside it."""
        if not self._average:
            return
        if self._training:
            checkpoint[TRAINING_WEIGHTS] = dict(self._training)
        else:
            state = checkpoint["state_dict"]
            checkpoint[TRAINING_WEIGHTS] = {name: state[name] for name in self._current}
            # In place, for it knows the versions of its modules, for which some ask.
            state.update({name: tensor.to(self._current[name].dtype) for name, tensor in self._average.items()})
        checkpoint[AVERAGE_IN_FULL] = {
            name: tensor for name, tensor in self._average.items() if tensor.dtype != self._current[name].dtype
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Remember the weights that training goes on from; a file without them starts an average of its own."""
        if trainer.state.fn == "fit":
            self._resumed = checkpoint.get(TRAINING_WEIGHTS, {})
            self._resumed_average = checkpoint.get(AVERAGE_IN_FULL, {})


def _averaged(module: LightningModule, also: Container[str] = ()) -> dict[str, Tensor]:
    """What is averaged, by its name in the state dict: parameters that train, floating-point buffers of the network.

    Args:
        module: That trains.
        also: Names of parameters that are averaged whether they train or not.
    """
    network = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad or name in also}
    saved = module.state_dict(keep_vars=True)
    buffers = {
        name: saved[name]
        for name, tensor in module.named_buffers()
        if name in saved and name.split(".")[0] in ("backbone", "head") and tensor.is_floating_point()
    }
    return {**network, **buffers}
