"""Temperature scaling of predictions."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lt_lightning.data.same_images import check_same_images
from lt_lightning.errors import UsageError
from lt_lightning.functional.temperature import fit_temperature, negative_log_likelihood
from lt_lightning.losses.base import Loss
from lt_lightning.losses.form import form_of
from lt_lightning.modules import LTModule
from lt_lightning.processes import on_first, to_first


class TemperatureScaling(Callback):
    """Divide logits by a temperature before ``predict`` takes probabilities: another confidence, the same order.

    Args:
        temperature: The divisor, or ``auto`` for the one with the least negative log-likelihood on the validation
            images of the data module, which is printed.

    Raises:
        UsageError: If ``temperature`` is not positive; with ``auto``, when predictions start, if there are no
            validation images, or the loss's probabilities are neither a softmax nor sigmoids.

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """

    def __init__(self, temperature: float | Literal["auto"] = "auto") -> None:
        known = temperature == "auto" if isinstance(temperature, str) else 0 < temperature < float("inf")
        if not known:
            raise UsageError(f'`temperature` must be above 0 and finite, or "auto", but got {temperature!r}.')
        self.temperature: float | Literal["auto"] = temperature
        self.used: float | None = None
        """The divisor of the last prediction."""

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the temperature; the weights are in place by now, as they are not when predictions start."""
        module = cast(LTModule, pl_module)
        self.used = self._fit(trainer, module) if self.temperature == "auto" else self.temperature
        module.temperature = self.used

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Leave the module without one: another prediction may ask for none."""
        cast(LTModule, pl_module).temperature = 1.0

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Likewise."""
        self.on_predict_end(trainer, pl_module)

    def _fit(self, trainer: Trainer, module: LTModule) -> float:
        if form_of(module.loss) == "other":
            raise UsageError(
                f"`temperature` auto needs probabilities that are a softmax or sigmoids, but those of "
                f"`{type(module.loss).__name__}` are neither; give a number."
            )
        data = getattr(trainer, "datamodule", None)
        several = trainer.world_size > 1  # joined processes may also have a trainer each
        if several and hasattr(data, "undistorted_batches"):
            check_same_images(data, ("val",))
        if data is None or not hasattr(data, "undistorted_batches") or data.split("val") is None:
            raise UsageError(
                f"`temperature` auto is fitted on validation images, but `{type(data).__name__}` has none; run it once "
                f"over the data that the model was trained on, and give the number printed there."
            )
        outputs = _outputs(trainer, module, data)
        if not several:
            return _fitted(module.loss, [outputs])
        shares = to_first(outputs)
        return on_first(lambda: _fitted(module.loss, shares))


def _outputs(trainer: Trainer, module: LTModule, data: Any) -> tuple[Tensor, Tensor]:
    """This process's logits and targets, on the CPU; memory holds the logits once, without parts of them beside."""
    most = len(data.split("val"))  # room that nothing is written to takes no memory
    logits, targets = torch.empty(most, len(module.class_counts)), torch.empty(most, dtype=torch.int64)
    end = 0
    for images, own in data.undistorted_batches("val", module.device):
        start, end = end, end + len(own)
        with trainer.precision_plugin.forward_context():
            logits[start:end] = module.averaged(images)
        targets[start:end] = own
    if end < most:  # others have their own share, and the whole room would be sent with it
        logits, targets = logits[:end].clone(), targets[:end].clone()
    return logits, targets


def _fitted(loss: Loss, shares: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The temperature of the logits of all processes, printed with what it is good for; these are scaled in place."""
    logits, targets = shares[0] if len(shares) == 1 else map(torch.cat, zip(*shares, strict=True))
    logits.mul_(loss.logit_scale)
    one_vs_all = form_of(loss) == "sigmoid"
    found = fit_temperature(logits, targets, one_vs_all)
    before, after = (negative_log_likelihood(logits, targets, t, one_vs_all) for t in (1.0, found))
    print(
        f"temperature {found:.4g}, fitted on {len(targets)} validation images: negative log-likelihood "
        f"{before:.4f} before, {after:.4f} after"
    )
    return found
