"""Logs how much of the loss and of its gradient the target class gets."""

from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.distraction import Distraction, distraction
from lt_lightning.losses import Loss


class NegativeDistraction(Callback):
    """Log positive-class loss, negative-class loss and gradient ratio of training batches (DLR, Figure 2).

    As ``train/positive_loss``, ``train/negative_loss`` and ``train/gradient_ratio``, at each step that the trainer logs
    (``trainer.log_every_n_steps``), of that step's batch, and with ``_epoch_end`` behind the name of the last batch of
    each epoch, since an epoch may be shorter than that. Other steps cost nothing, and none waits for the host.
    Gradients are those that training itself takes with respect to the logits, whatever the loss. Under several
    processes values are means over them; of mixed images (mixup) the first of the two classes counts as the target.
    Steps with multi-label targets are left out.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        self._found: Distraction | None = None
        self._logs = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Check before training."""
        if stage == "fit" and not isinstance(getattr(pl_module, "loss", None), Loss):
            raise UsageError(
                f"`NegativeDistraction` needs a module with a `loss` of this package, but got "
                f"{type(pl_module).__name__}."
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ARG002
        """Watch what the loss is given, if the trainer will log this step."""
        interval = cast(Any, trainer).log_every_n_steps
        self._logs = bool(interval) and (trainer.global_step + 1) % interval == 0
        if self._logs or trainer.is_last_batch:
            self.watch(cast(Loss, getattr(pl_module, "training_loss", pl_module.loss)))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ARG002
        """Log what was found."""
        self._leave()
        if self._found is not None:
            for name, value in self._found._asdict().items():
                if self._logs:
                    pl_module.log(f"train/{name}", value, sync_dist=True)
                if trainer.is_last_batch:
                    pl_module.log(
                        f"train/{name}_epoch_end", value, on_step=False, on_epoch=True, sync_dist=True, batch_size=1
                    )
        self._found = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Leave the loss as it was."""
        self._leave()

    def watch(self, loss: Loss) -> None:
        """Note what ``loss`` is given the next time that it is taken."""
        self._leave()
        self._handle = loss.register_forward_pre_hook(self._note, with_kwargs=True)

    def _leave(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _note(self, loss: Loss, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(("logits", "targets"), args, strict=False)) | kwargs
        logits, targets = cast(Tensor, given["logits"]), cast(Tensor, given["targets"])
        if not logits.requires_grad or targets.ndim != 1:
            return
        self._leave()  # a loss that is taken twice of the same logits passes all its gradient back at once
        scaled = logits.detach() * loss.logit_scale

        def keep(gradients: Tensor) -> None:
            self._found = distraction(scaled, targets, gradients, loss.one_vs_all)

        logits.register_hook(keep)  # type: ignore[no-untyped-call]
