"""Accuracy over all classes and over those with many, medium and few training images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lt_lightning.plots.canvas import legend, new_figure
from lt_lightning.report import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GROUPS = ("all", "many", "medium", "few")


def groups_figure(title: str, labels: Sequence[str], rows: Sequence[Row]) -> "Figure | None":
    """A bar for each row and group; whiskers are the standard deviations of `report`, where there are several runs.

    Args:
        title: What the rows have in common.
        labels: A bar's name each.
        rows: Of one data set.

    Returns:
        ``None`` where no row has a group's accuracy.
    """
    groups = [name for name in _GROUPS if any(row.mean(name) is not None for row in rows)]
    if not groups:
        return None
    figure, ((axes,),) = new_figure(title, size=(max(7.0, 1.5 + 0.22 * len(rows) * len(groups)), 4.0))
    places, width = np.arange(len(groups)), 0.85 / len(rows)
    for number, (label, row) in enumerate(zip(labels, rows, strict=True)):
        found = [row.mean(name) for name in groups]
        means = [np.nan if value is None else 100 * value for value in found]  # without a bar, which would say 0 %
        spread = [100 * (row.deviation(name) or 0.0) for name in groups]
        whiskers = {"yerr": spread, "error_kw": {"linewidth": 1}} if any(spread) else {}
        axes.bar(places + (number - (len(rows) - 1) / 2) * width, means, width, label=label, **whiskers)
    axes.set_xticks(places, groups)
    axes.set_ylabel("accuracy in %")
    legend(figure)
    return figure
