"""Whether a network is as sure as it is right."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lt_lightning.plots.canvas import color_of, legend, new_figure
from lt_lightning.plots.series import pooled_bins
from lt_lightning.report import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_figure(title: str, labels: Sequence[str], rows: Sequence[Row]) -> "Figure | None":
    """Accuracy of images over the confidence in their class; the diagonal is honest.

    Args:
        title: What the rows have in common.
        labels: A line's name each.
        rows: Of one data set.

    Returns:
        ``None`` where no row has bins, as those of ``compare`` have none.

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    lines = [
        (label, color_of(number), row, bins)
        for number, (label, row) in enumerate(zip(labels, rows, strict=True))
        if (bins := pooled_bins(row)) is not None
    ]
    if not lines:
        return None
    figure, ((axes,),) = new_figure(title, size=(7.0, 4.8))
    axes.plot([0, 100], [0, 100], color="0.7", linestyle="--")
    for label, color, row, (images, confidence, accuracy) in lines:
        error = row.mean("ece")
        there = images > 0
        name = label if error is None else f"{label}, ECE {100 * error:.1f}"
        axes.plot(100 * confidence[there], 100 * accuracy[there], color=color, marker=".", label=name)
    axes.set_xlabel("confidence in %")
    axes.set_ylabel("accuracy in %")
    legend(figure)
    return figure
