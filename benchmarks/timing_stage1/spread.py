"""Figures of several rounds."""

from statistics import quantiles

Timed = dict[str, float]
"""Seconds by what they were spent on, or a figure's median and quartiles."""


def spread(values: list[float]) -> Timed:
    """Median and quartiles."""
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "quartile_1": low, "quartile_3": high}
