"""Accuracy from the head of the class distribution to its tail."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lt_lightning.plots.canvas import legend, new_figure
from lt_lightning.plots.series import class_lines, marker_of, of_neighbours, smoothed, window_of
from lt_lightning.report import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def tail_figure(title: str, labels: Sequence[str], rows: Sequence[Row]) -> "Figure | None":
    """Accuracy per class, most frequent class first, before the number of training images.

    Lines are means over runs and, from 40 classes on, over neighbouring classes.

    Args:
        title: What the rows have in common.
        labels: A line's name each.
        rows: Of one data set.

    Returns:
        ``None`` where no row has accuracies per class.
    """
    detail = rows[0].runs[0].detail
    counts = np.sort(detail.class_counts)[::-1]
    width = window_of(len(counts))
    lines = class_lines("accuracy", labels, rows)
    if not lines:
        return None
    figure, ((axes,),) = new_figure(title, size=(9.0, 4.5))
    ranks = np.arange(1, len(counts) + 1)
    images = axes.twinx()
    images.fill_between(ranks, counts, 0.8, step="mid", color="0.9")
    images.set_yscale("log")
    images.set_ylabel("training images (grey)")
    axes.set_zorder(images.get_zorder() + 1)
    axes.patch.set_visible(False)
    for label, color, values in lines:
        axes.plot(ranks, 100 * smoothed(values, width), color=color, label=label, marker=marker_of(len(counts)))
    _mark_groups(axes, counts, detail.group_thresholds)
    axes.set_xlabel(f"class, by number of training images{of_neighbours(width)}")
    axes.set_ylabel("accuracy in %")
    legend(figure)
    return figure


def _mark_groups(axes: Any, counts: "np.ndarray[tuple[int], np.dtype[np.int64]]", thresholds: tuple[int, int]) -> None:
    """Dotted lines where many, medium and few meet."""
    low, high = thresholds
    groups = np.where(counts > high, 0, np.where(counts < low, 2, 1))
    for place, (one, other) in enumerate(pairwise(groups.tolist()), start=1):
        if one != other:
            axes.axvline(place + 0.5, color="0.5", linestyle=":", linewidth=1)
