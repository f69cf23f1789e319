"""Writes predictions to a file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor


class PredictionsWriter(BasePredictionWriter):
    """Write ``predictions.csv`` into the run's folder: a row per image, in the order of the data.

    Columns: position of the image, its class, the predicted class, and the probability of each class.
    """

    def __init__(self) -> None:
        super().__init__(write_interval="epoch")

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Gather what all processes predicted, put it in order, and write it once."""
        positions = [position for loader in batch_indices for batch in loader for position in batch]
        probabilities = torch.cat([batch["probabilities"].float().cpu() for batch in predictions])
        targets = torch.cat([batch["targets"].cpu() for batch in predictions])
        shares = _gather((positions, probabilities, targets), trainer.world_size)
        folder = trainer.log_dir  # broadcast from the first process: every one must ask
        if folder is None or not trainer.is_global_zero:
            return
        path = Path(folder) / "predictions.csv"
        order = torch.argsort(torch.tensor([position for share in shares for position in share[0]]))
        probabilities = torch.cat([share[1] for share in shares])[order]
        targets = torch.cat([share[2] for share in shares])[order]
        names = _class_names(trainer, probabilities.shape[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        with draft.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["position", "target", "prediction", *names])
            for position, (row, target) in enumerate(zip(probabilities, targets.tolist(), strict=True)):
                values = [f"{value:.6g}" for value in row.tolist()]
                writer.writerow([position, names[target], names[int(row.argmax())], *values])
        draft.replace(path)
        print(f"{len(targets)} predictions written to {path}")


Share = tuple[list[int], Tensor, Tensor]


def _gather(share: Share, world_size: int) -> list[Share]:
    if world_size == 1:
        return [share]
    shares: list[Share | None] = [None] * world_size
    torch.distributed.all_gather_object(shares, share)
    return cast(list[Share], shares)


def _class_names(trainer: Trainer, num_classes: int) -> list[str]:
    names = getattr(getattr(trainer, "datamodule", None), "class_names", None)
    return list(names) if names else [str(label) for label in range(num_classes)]
