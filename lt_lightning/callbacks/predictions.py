"""Writes predictions to a file."""

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from lt_lightning.data.predict_folder import UNREADABLE
from lt_lightning.drafts import new_file
from lt_lightning.errors import UsageError, check_at_least_1, check_word
from lt_lightning.processes import to_first
from lt_lightning.wording import first_few

Format = Literal["csv", "parquet"]
Rows = tuple[list[str], list[list[Any]]]
"""Names of the columns, and the columns."""


class Share(NamedTuple):
    """What one process has predicted: image by image, in the order it saw them."""

    positions: Tensor
    """``(n,)``, int64: place of each image in the data."""
    targets: Tensor
    """``(n,)``, int64; negative where there is none."""
    classes: Tensor
    """``(n, k)``, int64, the likeliest first."""
    probabilities: Tensor
    """``(n, k)``, fp32."""


class PredictionsWriter(BasePredictionWriter):
    """Write the likeliest classes of each image into one file: a row per image, in the order of the data.

    Columns: ``path`` of the image, or ``position`` where images have none; ``target``, its class, where that is known;
    then ``class_1``, ``index_1``, ``probability_1``, ``class_2`` and so on, the likeliest first and of equals the one
    with the lower index. Logits tell which that is, as in ``test``: sigmoids of several large ones are all 1. Only
    these are kept while a run lasts. The file is written by the first process, whole or not at all, and never over
    another: without ``output`` it is ``predictions.csv`` in the run's folder, or ``predictions_1.csv`` if that is
    taken.

    Args:
        top_k: How many classes of an image; at most as many as there are.
        format: ``csv``, or ``parquet``, which needs pyarrow.
        output: The file; ``None`` for one in the run's folder.

    Raises:
        UsageError: If ``top_k`` is below 1, the format unknown or another than ``output`` ends in, or ``output`` names
            a folder; before anything is predicted, if ``output`` exists or cannot be written, or pyarrow is missing;
            then, if probabilities are not numbers, or not a single image could be read.
    """

    def __init__(self, top_k: int = 5, format: Format = "csv", output: str | None = None) -> None:
        super().__init__(write_interval="batch")
        check_at_least_1(top_k=top_k)
        check_word("format", format, Format)
        if output is not None:
            check_output(output, format)
        self.top_k = top_k
        self.format: Format = format
        self.output = output
        self.written: Path | None = None
        """The file, once it has its name; in other processes than the first always ``None``."""
        self._shares: list[Share] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Find out now what would keep the file from being written."""
        self._shares, self.written = [], None
        if self.format == "parquet":
            _pyarrow()
        if trainer.is_global_zero and self.output is not None:
            with new_file(Path(self.output), "output") as draft:
                draft.touch()  # whoever may not write here learns it before the images are predicted
                draft.unlink()

    def write_on_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int,  # noqa: ARG002
    ) -> None:
        """Keep the likeliest classes of a batch."""
        ranked = prediction.get("logits", prediction["probabilities"])  # a `predict_step` of one's own may lack them
        classes = _likeliest(ranked, self.top_k)
        values = (prediction["targets"], classes, prediction["probabilities"].gather(1, classes).float())
        targets, classes, probabilities = (value.clone().cpu() for value in values)
        odd = (~probabilities.isfinite()).any(dim=1).nonzero().flatten().tolist()
        if odd:  # the order of such is that of the classes, and would pass for a prediction
            raise UsageError(
                f"The probabilities of {len(odd)} of {len(targets)} images, that of position "
                f"{list(batch_indices or [])[odd[0]]} first, are not numbers, so the checkpoint predicts nothing; give "
                f"one whose weights are finite, or a `temperature` nearer to 1."
            )
        self._shares.append(Share(torch.tensor(batch_indices), targets, classes, probabilities))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Gather what all processes predicted, put it in order, and write it once."""
        share = Share(*map(torch.cat, zip(*self._shares, strict=True))) if self._shares else None
        self._shares = []
        shares = [part for part in (to_first(share) if trainer.world_size > 1 else [share]) if part is not None]
        folder = trainer.log_dir  # broadcast from the first process: every one must ask
        if not trainer.is_global_zero or (folder is None and self.output is None) or not shares:
            return
        found = _in_order(Share(*map(torch.cat, zip(*shares, strict=True))))
        data: Any = getattr(trainer, "datamodule", None)
        paths = getattr(data.split("test"), "paths", None) if hasattr(data, "split") else None
        read = found.targets != UNREADABLE
        skipped = found.positions[~read].tolist()
        if skipped and not bool(read.any()):
            raise UsageError(f"None of the {len(skipped)} images can be read; give a folder of images.")
        rows = _rows(Share(*(values[read] for values in found)), paths, getattr(data, "class_names", None))
        self.written = self._write(rows, Path(folder or "."))
        print(f"{int(read.sum())} predictions written to {self.written}")
        if skipped:
            names = first_few([str(paths[position] if paths else position) for position in skipped])
            print(f"{len(skipped)} of {len(read)} images could not be read and were left out: {names}")

    def _write(self, rows: Rows, folder: Path) -> Path:
        path, number = folder / f"predictions.{self.format}" if self.output is None else Path(self.output), 0
        while self.output is None and path.exists():
            number += 1
            path = folder / f"predictions_{number}.{self.format}"
        with new_file(path, "output") as draft:
            _WRITERS[self.format](draft, *rows)
        return path


def check_output(output: str, format: Format) -> None:
    """Find a name of no use before anything else is done.

    Args:
        output: The file that there is to be, as typed.
        format: What it is to hold.

    Raises:
        UsageError: If it names a folder, or ends in another format.
    """
    if not output or output.endswith(("/", os.sep)):
        raise UsageError(f"`output` must name a file, but got {output!r}; give one, such as predictions.{format}.")
    ending = Path(output).suffix.lower().removeprefix(".")
    if ending in _WRITERS and ending != format:
        raise UsageError(f"`output` {output!r} ends in .{ending}, but `format` is {format}; give `format` {ending}.")


def _likeliest(logits: Tensor, top_k: int) -> Tensor:
    """Classes of the first columns of a stable descending sort: with many classes in a tenth of its time.

    `topk` may take any of those that are equal to the last, and says not which of two equals comes first.
    """
    number = min(top_k, logits.shape[1])
    values, classes = logits.topk(number, dim=1)
    tied = (logits >= values[:, -1:]).sum(dim=1) > number
    classes[tied] = logits[tied].sort(dim=1, descending=True, stable=True).indices[:, :number]
    classes = classes.sort(dim=1).values
    order = logits.gather(1, classes).sort(dim=1, descending=True, stable=True).indices
    return classes.gather(1, order)


def _in_order(found: Share) -> Share:
    """Each image once, in the order of the data; a process without a share of its own has repeated another's image."""
    positions, order = found.positions.sort(stable=True)
    first = torch.ones_like(positions, dtype=torch.bool)
    first[1:] = positions[1:] != positions[:-1]
    return Share(*(values[order[first]] for values in found))


def _rows(found: Share, paths: Sequence[str] | None, class_names: Sequence[str] | None) -> Rows:
    def name(label: int) -> str:
        return str(class_names[label] if class_names else label)

    positions = found.positions.tolist()
    columns: dict[str, list[Any]] = {}
    if paths is None:
        columns["position"] = positions
    else:
        columns["path"] = [paths[position] for position in positions]
    if bool((found.targets >= 0).any()):
        columns["target"] = [name(target) if target >= 0 else None for target in found.targets.tolist()]
    for rank in range(found.classes.shape[1]):
        labels = found.classes[:, rank].tolist()
        columns[f"class_{rank + 1}"] = list(map(name, labels))
        columns[f"index_{rank + 1}"] = labels
        columns[f"probability_{rank + 1}"] = found.probabilities[:, rank].tolist()
    return list(columns), list(columns.values())


def _write_csv(path: Path, names: list[str], columns: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in zip(*columns, strict=True):
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in row])


def _write_parquet(path: Path, names: list[str], columns: list[list[Any]]) -> None:
    pyarrow, parquet = _pyarrow()
    kinds = {"index": pyarrow.int32(), "position": pyarrow.int64(), "probability": pyarrow.float32()}
    arrays = [
        pyarrow.array(values, type=kinds.get(name.partition("_")[0], pyarrow.string()))
        for name, values in zip(names, columns, strict=True)
    ]
    parquet.write_table(pyarrow.table(arrays, names=names), path)


_WRITERS: dict[Format, Callable[[Path, list[str], list[list[Any]]], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "`format` parquet needs pyarrow, which is not installed; install it with "
            '`pip install "lt_lightning[parquet]"`, or use csv.'
        ) from error
    return pyarrow, pyarrow.parquet
