"""One figure of several runs, and its spread over both stages."""

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from reproducing.records import Record


def summary(records: Sequence[Record], value: str) -> tuple[float, float | None, str] | None:
    """One figure of several runs.

    Args:
        records: Of one cell and protocol.
        value: Name of an accuracy.

    Returns:
        Mean in per cent; the standard deviation that a further run of both stages would have, in points, ``None`` for
        one run; and that in words. ``None`` without records.
    """
    whole = [record for record in records if len(record["seeds"]) > 1]
    if whole:  # a record that is a mean itself
        record = max(whole, key=lambda found: len(found["seeds"]))
        number = len(record["seeds"])
        deviation = record["standard_deviation"]
        figure = 100 * record["accuracy"][value]
        if deviation is None:
            return figure, None, f"({record.get('aggregation') or f'{number} seeds'})"
        return figure, 100 * deviation[value], f"± {100 * deviation[value]:.2f} ({number})"
    if not records:
        return None
    stages1: dict[Any, list[float]] = {}
    for record in records:
        seed = record["stage1"].get("seed") if record["stage1"] else None
        stages1.setdefault(seed, []).append(100 * record["accuracy"][value])
    figures = [figure for found in stages1.values() for figure in found]
    center = mean(mean(found) for found in stages1.values())
    if len(figures) == 1:
        return center, None, ""
    within = _pooled(list(stages1.values()))
    if len(stages1) == 1:
        return center, within, f"± {within:.2f} ({len(figures)})"
    between = stdev([mean(found) for found in stages1.values()])
    if within is None:
        return center, between, f"± {between:.2f} ({len(figures)})"
    sizes = sorted({len(found) for found in stages1.values()})
    each = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    words = f"± {between:.2f} between, ± {within:.2f} within ({len(stages1)} × {each})"
    return center, math.hypot(between, within), words


def _pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation within groups; ``None`` if no group has two."""
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    return math.sqrt(sum((figure - mean(group)) ** 2 for group in groups for figure in group) / freedom)
