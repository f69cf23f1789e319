"""How validation accuracy depends on what ``compare`` has tried, as LORT's Figures 4 and 5 show it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lt_lightning.plots.canvas import new_figure
from lt_lightning.plots.series import tried
from lt_lightning.report import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 4

Points = list[dict[str, Any]]


def grid_figure(title: str, labels: Sequence[str], rows: Sequence[Row]) -> "Figure | None":
    """Axes for each row: a line over one setting, a map over two; those that tried more than two are left out.

    Args:
        title: What the rows have in common.
        labels: A panel's name each.
        rows: Of one data set.

    Returns:
        ``None`` where no row has tried several points.
    """
    shown = [
        (label, keys, points)
        for label, row in zip(labels, rows, strict=True)
        if len(points := tried(row)) > 1 and len(keys := varied(points)) in (1, 2)
    ]
    if not shown:
        return None
    columns = min(_COLUMNS, len(shown))
    figure, panels = new_figure(title, rows=math.ceil(len(shown) / columns), columns=columns, size=(3.4, 2.8))
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, (label, keys, points) in zip(panels.flat, shown, strict=False):
        axes.set_title(label, fontsize="medium", parse_math=False)
        if len(keys) == 1:
            _line(axes, keys[0], points)
        else:
            _map(axes, keys, points)
    return figure


def varied(found: Points) -> list[str]:
    """The settings of which there are several values."""
    keys = list(dict.fromkeys(key for point in found for key in point["point"]))
    return [key for key in keys if len({str(point["point"].get(key)) for point in found}) > 1]


def _line(axes: Any, key: str, found: Points) -> None:
    points = [(point["point"].get(key), 100 * point["mean"]) for point in found]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in points)
    if numbers:
        points.sort()
        if min(value for value, _ in points) > 0 and points[-1][0] / points[0][0] > 20:
            axes.set_xscale("log")
        axes.plot([value for value, _ in points], [figure for _, figure in points], marker="o")
        axes.set_xticks(
            [value for value, _ in points], [f"{value:g}" for value, _ in points], fontsize="small", rotation=45
        )
        axes.minorticks_off()
    else:
        axes.plot([str(value) for value, _ in points], [figure for _, figure in points], marker="o", linestyle="")
    axes.set_xlabel(key)
    axes.set_ylabel("validation, %")


def _map(axes: Any, keys: Sequence[str], found: Points) -> None:
    across, down = (
        {str(value): value for value in _sorted(point["point"].get(key) for point in found)} for key in keys
    )
    values = np.full((len(down), len(across)), np.nan)
    for point in found:
        column, line = (
            list(names).index(str(point["point"].get(key))) for names, key in zip((across, down), keys, strict=True)
        )
        values[line, column] = 100 * point["mean"]
    axes.imshow(values, aspect="auto", cmap="viridis")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (line, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            color = "black" if value > middle else "white"
            axes.text(column, line, f"{value:.1f}", ha="center", va="center", fontsize="small", color=color)
    axes.set_xticks(range(len(across)), list(across))
    axes.set_yticks(range(len(down)), list(down))
    axes.set_xlabel(keys[0])
    axes.set_ylabel(keys[1])


def _sorted(values: Any) -> list[Any]:
    found = list({str(value): value for value in values}.values())
    return sorted(found) if all(isinstance(value, int | float) for value in found) else found
