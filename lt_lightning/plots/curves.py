"""Loss and accuracy from epoch to epoch."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lt_lightning.plots.canvas import color_of, legend, new_figure
from lt_lightning.report import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = {
    "train/loss": "training loss",
    "val/all": "validation accuracy in %, all classes",
    "val/few": "validation accuracy in %, few-shot classes",
}

_EPOCH_LOSS = "train/loss_epoch"

_QUANTITIES = {name: name for name in (*_PANELS, _EPOCH_LOSS)} | {"train/loss_epoch_end": "train/loss"}
"""By the name of their column."""

Curve = tuple[list[float], list[float]]


def curves_figure(title: str, labels: Sequence[str], rows: Sequence[Row]) -> "Figure | None":
    """A panel for each quantity, a line for each run, those of one row in one colour.

    Args:
        title: What the rows have in common.
        labels: A colour's name each.
        rows: Of one data set.

    Returns:
        ``None`` where no run has left a ``metrics.csv`` of its training, as those of ``compare`` have not.
    """
    found = [[read_history(run.detail.history) for run in row.runs] for row in rows]
    found = [[history for history in runs if "train/loss" in history] for runs in found]  # the others trained nothing
    shown = [name for name in _PANELS if any(name in history for runs in found for history in runs)]
    if not shown:
        return None
    figure, (panels,) = new_figure(title, columns=len(shown), size=(4.8, 3.8))
    for name, axes in zip(shown, panels, strict=True):
        scale = 1.0 if name == "train/loss" else 100.0
        for number, (label, runs) in enumerate(zip(labels, found, strict=True)):
            curves = [history[name] for history in runs if name in history]
            for place, (epochs, values) in enumerate(curves):
                marker = "." if len(epochs) == 1 else ""
                named = {"label": label} if place == 0 else {}
                axes.plot(
                    epochs, [scale * v for v in values], color=color_of(number), alpha=0.8, marker=marker, **named
                )
        axes.set_title(_PANELS[name], fontsize="medium")
        axes.set_xlabel("epoch")
    legend(figure)
    return figure


def read_history(path: Path | None) -> dict[str, Curve]:
    """Epochs, from 1, and values of each quantity in a ``metrics.csv``.

    Where an epoch's loss was not logged, as by earlier versions, it is the mean of what was logged in the epoch.

    Args:
        path: ``None``, or a file that need not be there; what a full disk has left of a line counts for nothing.
    """
    sums: dict[str, dict[int, list[float]]] = {}
    if path is None or not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        lines = (text.replace("\0", "") for text in file)  # 3.10 refuses zeros
        names = _column_names(lines)
        if "epoch" not in names:
            return {}
        of_epoch = names.index("epoch")
        places = [(place, _QUANTITIES[name]) for place, name in enumerate(names) if name in _QUANTITIES]
        for line in lines:
            cells = line.rstrip("\r\n").split(",")  # of numbers alone: what has a quote is damaged
            for place, quantity in places:
                if place < len(cells) and cells[place]:
                    with suppress(ValueError, IndexError):
                        epoch, value = int(cells[of_epoch]) + 1, float(cells[place])
                        sums.setdefault(quantity, {}).setdefault(epoch, []).append(value)
    if _EPOCH_LOSS in sums:
        sums["train/loss"] = sums.pop(_EPOCH_LOSS)
    return {
        name: (list(map(float, epochs)), [sum(values) / len(values) for values in epochs.values()])
        for name, epochs in sums.items()
    }


def _column_names(lines: Iterator[str]) -> list[str]:
    """The first line's cells, of which one with a comma is quoted; none where a quote has no end."""
    try:
        return next(csv.reader(lines), [])
    except csv.Error:
        return []
