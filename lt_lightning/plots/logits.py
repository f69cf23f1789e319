"""What LORT looks at, class by class: size and spread of logits, and the classifier's weight norms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lt_lightning.plots.canvas import legend, new_figure
from lt_lightning.plots.series import class_lines, marker_of, of_neighbours, smoothed, window_of
from lt_lightning.report import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = (
    ("logits_magnitude", "Logits Magnitude", False),
    ("logits_magnitude", "Logits Magnitude / mean size", True),
    ("regularized_std", "Regularized Standard Deviation", False),
    ("weight_norm", "weight norm / mean", True),
)
"""Diagnostic, title, and whether each line is divided by the mean of its sizes: by their sum, its 1-norm, is how
the paper compares the Logits Magnitudes of methods."""


def logits_figure(title: str, labels: Sequence[str], rows: Sequence[Row]) -> "Figure | None":
    """A panel for each diagnostic, classes from the most to the least frequent.

    Lines are means over runs and, from 40 classes on, over neighbouring classes.

    Args:
        title: What the rows have in common.
        labels: A line's name each.
        rows: Of one data set.

    Returns:
        ``None`` where no row has one of the diagnostics.

    References:
        "Rethinking Classifier Re-Training in Long-Tailed Recognition" (LORT), whose Figure 3 has the second and third.
    """
    classes = len(rows[0].runs[0].detail.class_counts)
    lines = {name: class_lines(name, labels, rows) for name, _, _ in _PANELS}
    shown = [panel for panel in _PANELS if lines[panel[0]]]
    if not shown:
        return None
    figure, (panels,) = new_figure(title, columns=len(shown), size=(4.6, 3.8))
    ranks, width = np.arange(1, classes + 1), window_of(classes)
    for (name, title_of_panel, divided), axes in zip(shown, panels, strict=True):
        for label, color, values in lines[name]:
            drawn = values / np.nanmean(np.abs(values)) if divided else values
            axes.plot(ranks, smoothed(drawn, width), color=color, label=label, marker=marker_of(classes))
        axes.set_title(title_of_panel, fontsize="medium")
    figure.supxlabel(f"class, by number of training images{of_neighbours(width)}", fontsize="medium")
    legend(figure)
    return figure
