"""A moving average of the weights, which is what a run evaluates and leaves behind."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lt_lightning.errors import UsageError
from lt_lightning.functional.precision import at_least_fp32

TRAINING_WEIGHTS = "weights_in_training"
"""Key of a checkpoint that holds the weights that training goes on from."""
AVERAGE_IN_FULL = "average_in_full"
"""Key of a checkpoint that holds those tensors of the average that the weights' precision rounds, as with bf16-true."""


class WeightEMA(Callback):
    """Validate, save and leave an exponential moving average of the weights; the optimiser keeps its own.

    After every optimiser step the average moves towards the weights by a share ``1 - d``, where ``d`` is the smaller of
    ``decay`` and ``(1 + step) / (10 + step)``, as in TensorFlow's ``ExponentialMovingAverage``, so that a short run
    does not end with the weights it started from. Parameters that train are averaged and, by the same rule, the running
    statistics of batch normalisation, which are means over steps already. What a loss keeps account of is not.

    A checkpoint's ``state_dict`` holds the average, so stage 2, ``test`` and ``predict`` take it without knowing; the
    weights in training lie beside it, and a resumed run goes on from them. After ``fit`` the module holds the average.

    Lightning's ``EMAWeightAveraging`` is not used: it waits for the device once a step, it also averages whole numbers
    and a loss's state, and it takes the average out of the module before our metrics are closed.

    Args:
        decay: Share of the average that stays in each step, 0 or more and below 1; 0.999 remembers about 1,000 steps.

    Raises:
        UsageError: If ``decay`` is out of range; when training starts, if another callback saves checkpoints of
            weights alone, which would not be the averaged ones.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UsageError(f"`decay` of `WeightEMA` must be at least 0 and below 1, but got {decay}.")
        self.decay = decay
        self._average: list[Tensor] = []
        self._current: list[Tensor] = []
        """What the module trains: looked for once, since naming its tensors takes a good part of a GPU's step."""
        self._training: list[Tensor] = []
        """The weights in training, while the module holds the average."""
        self._steps = 0
        self._resumed: Mapping[str, Tensor] | None = None
        self._resumed_average: Mapping[str, Tensor] = {}

    def decay_at(self, step: int) -> float:
        """Share of the average that stays in a step, counted from 1."""
        return min(self.decay, (1 + step) / (10 + step))

    @property
    def diagnostics(self) -> dict[str, Any]:
        """What a results file records."""
        return {"weight_ema": {"decay": self.decay}}

    # -- training ----------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Forget an earlier run."""
        if stage != "fit":
            return
        self._average, self._training, self._resumed, self._resumed_average = [], [], None, {}
        for callback in cast(Any, trainer).callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.save_weights_only:
                raise UsageError(
                    "`save_weights_only` of `ModelCheckpoint` cannot be true beside `WeightEMA`: Lightning would save "
                    "the weights in training instead of their average; leave it out."
                )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the weights as they are, or from a checkpoint's average."""
        averaged = _averaged(pl_module)
        average = {name: at_least_fp32(tensor.detach()).clone() for name, tensor in averaged.items()}
        for name, tensor in self._resumed_average.items():
            average[name].copy_(tensor)
        self._average, self._current = list(average.values()), list(averaged.values())
        self._steps = trainer.global_step
        if self._resumed is not None:  # the module has loaded the average
            for name, tensor in averaged.items():
                tensor.data.copy_(self._resumed[name])
            self._resumed, self._resumed_average = None, {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ARG002
        """Move the average, where the batch has ended in an optimiser step."""
        if trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        current = [at_least_fp32(tensor.detach()) for tensor in self._current]
        move = get_ema_multi_avg_fn(self.decay_at(self._steps))  # type: ignore[no-untyped-call]
        with torch.no_grad():
            move(self._average, current, self._steps)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave the average in the module."""
        self._hold_average(pl_module, True)
        self._current = []

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

    def _hold_average(self, module: LightningModule, average: bool) -> None:
        if not self._average or bool(self._training) == average:
            return
        tensors = [tensor.data for tensor in _averaged(module).values()]
        wanted = self._average if average else self._training
        self._training = [tensor.clone() for tensor in tensors] if average else []
        for tensor, other in zip(tensors, wanted, strict=True):
            tensor.copy_(other)  # the average stays as it is: the module may hold it with fewer digits

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Put the average in the place of the weights in training, and those beside it."""
        if not self._average:
            return
        state, averaged = checkpoint["state_dict"], _averaged(pl_module)
        average = dict(zip(averaged, self._average, strict=True))
        if self._training:
            checkpoint[TRAINING_WEIGHTS] = dict(zip(averaged, self._training, strict=True))
        else:
            rounded = {name: tensor.to(averaged[name].dtype) for name, tensor in average.items()}
            checkpoint[TRAINING_WEIGHTS] = {name: state[name] for name in averaged}
            state.update(rounded)  # in place, for it knows the versions of its modules, for which some ask
        checkpoint[AVERAGE_IN_FULL] = {
            name: tensor for name, tensor in average.items() if tensor.dtype != averaged[name].dtype
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Remember the weights that training goes on from; a file without them starts an average of its own."""
        if trainer.state.fn == "fit":
            self._resumed = checkpoint.get(TRAINING_WEIGHTS)
            self._resumed_average = checkpoint.get(AVERAGE_IN_FULL, {})


def _averaged(module: LightningModule) -> dict[str, Tensor]:
    """What is averaged, by its name in the state dict: parameters that train, floating-point buffers of the network."""
    network = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
    saved = module.state_dict(keep_vars=True)
    buffers = {
        name: saved[name]
        for name, tensor in module.named_buffers()
        if name in saved and name.split(".")[0] in ("backbone", "head") and tensor.is_floating_point()
    }
    return {**network, **buffers}
