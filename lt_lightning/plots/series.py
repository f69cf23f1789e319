"""Numbers of a row, mean over its runs, in the order that a figure wants them."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lt_lightning.plots.canvas import color_of
from lt_lightning.report import Detail, Row

Values = NDArray[np.float64]


def class_order(class_counts: Sequence[int]) -> NDArray[np.intp]:
    """Classes from the most to the least frequent in training; of equals the first comes first."""
    return np.argsort(-np.asarray(class_counts), kind="stable")


def per_class(row: Row, name: str) -> Values | None:
    """A figure of each class, ``(K,)``, from the most to the least frequent, mean over runs, NaN where a run has none.

    As in a table, over checkpoints where runs started from several, of each the mean over its runs.

    Each run is put in its own order, as lists of one data set may number its classes differently.

    Returns:
        ``None`` unless all runs have it.
    """
    if any(name not in run.detail.per_class for run in row.runs):
        return None

    def ordered(detail: Detail) -> Values:
        return np.asarray(detail.per_class[name], dtype=np.float64)[class_order(detail.class_counts)]

    means = [np.mean([ordered(run.detail) for run in runs], axis=0) for runs in row.by_checkpoint]
    return np.asarray(np.mean(means, axis=0))


def class_lines(name: str, labels: Sequence[str], rows: Sequence[Row]) -> list[tuple[str, str, Values]]:
    """Label, colour and :func:`per_class` of each row that has it; a row has its colour whoever else is left out."""
    return [
        (label, color_of(number), values)
        for number, (label, row) in enumerate(zip(labels, rows, strict=True))
        if (values := per_class(row, name)) is not None
    ]


def tried(row: Row) -> list[dict[str, Any]]:
    """Points of a grid as ``compare`` writes them, their ``mean`` that over runs, which may be of several comparisons.

    As in a table, over checkpoints of each the mean over its runs. Points that one of the runs has not, or where
    training diverged in one, are left out.
    """
    known = [
        [{str(one["point"]): one["mean"] for one in run.detail.tried} for run in runs] for runs in row.by_checkpoint
    ]
    points = [(one["point"], str(one["point"])) for one in row.runs[0].detail.tried]
    return [
        {"point": point, "mean": mean(mean(means[name] for means in runs) for runs in known)}
        for point, name in points
        if all(means.get(name) is not None for runs in known for means in runs)
    ]


def smoothed(values: Values, width: int) -> Values:
    """Mean over windows of ``width`` neighbours, cut off at both ends; NaN counts for nothing, and stays."""
    if width <= 1:
        return values
    known = ~np.isnan(values)
    window = np.ones(min(width, len(values)))
    sums = np.convolve(np.where(known, values, 0.0), window, mode="same")
    counts = np.convolve(known.astype(np.float64), window, mode="same")
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return np.where(known, means, np.nan)


def window_of(classes: int) -> int:
    """How many neighbours a line is smoothed over: a twentieth of the classes, cut to an odd number, 1 at least."""
    return classes // 20 // 2 * 2 + 1


def marker_of(classes: int) -> str:
    """What marks each class on a line, while they are few."""
    return "." if classes <= 20 else ""


def of_neighbours(width: int) -> str:
    """Words for an axis along which lines are smoothed over so many neighbours; none where they are not."""
    return f" (mean over {width} neighbours)" if width > 1 else ""


def pooled_bins(row: Row) -> tuple[Values, Values, Values] | None:
    """``images``, ``confidence`` and ``accuracy`` of each bin over all runs; ``None`` unless all runs have them."""
    found = [run.detail.bins for run in row.runs]
    if not all({"images", "confidence", "accuracy"} <= set(bins) for bins in found):
        return None
    images = np.asarray([bins["images"] for bins in found], dtype=np.float64)
    total = images.sum(axis=0)
    means = []
    for name in ("confidence", "accuracy"):
        values = np.nan_to_num(np.asarray([bins[name] for bins in found], dtype=np.float64))
        means.append(np.divide((images * values).sum(axis=0), total, out=np.full_like(total, np.nan), where=total > 0))
    return total, means[0], means[1]
