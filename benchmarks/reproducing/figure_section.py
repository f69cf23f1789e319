"""A figure's section of the page: every point of its grid."""

from collections.abc import Mapping, Sequence
from statistics import mean

from reproducing.records import Record
from reproducing.tables import Figure
from reproducing.wording import by_protocol, hardware_and_time, table_lines


def render_figure(figure: Figure, records: Sequence[Record], note: str = "") -> str:
    """A section of the page: validation accuracy of every point, mean over seeds and stages 1.

    Args:
        figure: Which.
        records: Its runs.
        note: What is to be said where they do not show what the paper's figure does.
    """
    lines = [f"## {figure.title}", "", f"CIFAR100-LT, imbalance ratio 100. {figure.text}", ""]
    if not records:
        return "\n".join([*lines, "Nothing has been run yet.", ""])
    for label, found in by_protocol(records).items():
        points: dict[tuple[float, ...], list[float]] = {}
        for record in found:
            for tried in record["points"]:
                place = tuple(float(tried["point"][key]) for key in figure.grid)
                points.setdefault(place, []).append(100 * tried["mean"])
        keys = list(figure.grid)
        body = [[*(f"{value:g}" for value in place), f"{mean(scores):.2f}"] for place, scores in points.items()]
        lines += [f"Validation accuracy; {label}:", "", *table_lines([*keys, "all"], body)]
        tested = mean(100 * record["accuracy"]["all"] for record in found)
        chosen = "; ".join(dict.fromkeys(_point(record["chosen"]) for record in found))
        lines += [f"Chosen: {chosen}; on test images {tested:.2f}. {hardware_and_time(found)}.", ""]
    return "\n".join([*lines, note, ""] if note else lines)


def _point(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())
