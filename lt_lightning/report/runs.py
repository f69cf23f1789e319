"""Figures of one method from one run, and what a plot shows of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

METRICS = ("all", "many", "medium", "few", "micro", "top3", "top5", "harmonic", "geometric", "worst", "ece")
"""Figures that are reported, in order, where runs have them."""


class Names(NamedTuple):
    """What runs of one experiment have in common."""

    data: str
    preset: str
    method: str
    settings: str
    """Hash of the configuration without what is the run's own, and of how images are prepared."""


class Protocol(NamedTuple):
    """How figures came about."""

    selection: str
    views: str
    bn_mode: str
    test_time_averaging: str
    aggregation: str


@dataclass(frozen=True)
class Detail:
    """What a plot shows of a run, as far as the run has left it.

    Attributes:
        class_counts: Training images per class, length K.
        group_thresholds: ``(low, high)`` training images that separate few, medium and many.
        per_class: Lists of length K by name: ``accuracy``, ``logits_magnitude``, ``weight_norm`` …; ``None`` for a
            class without images.
        bins: ``images``, ``confidence`` and ``accuracy`` of the bins of a reliability diagram.
        history: The run's ``metrics.csv``.
        tried: Points of a grid with their figures on validation images, as ``compare`` writes them.
    """

    class_counts: list[int]
    group_thresholds: tuple[int, int]
    per_class: Mapping[str, list[float | None]]
    bins: Mapping[str, list[float | None]] = field(default_factory=dict)
    history: Path | None = None
    tried: list[dict[str, Any]] = field(default_factory=list)


NO_DETAIL = Detail([], (0, 0), {})
"""Of runs that no plot shows."""


@dataclass(frozen=True)
class Run:
    """Figures of one method from one run."""

    path: Path
    names: Names
    protocol: Protocol
    identity: str
    """Equal in runs of which one repeats the other."""
    seed: Any
    """Of the training."""
    figures: dict[str, float]
    detail: Detail = field(repr=False, compare=False)
    source: str = ""
    """The checkpoint that a comparison started from."""
    checkpoint: str = ""
    """Hash of the network that stage 2 retrained; empty for a stage 1, and for a pipeline, which trains its own."""
    evaluated: str = ""
    """Which weights of a training the figures are of, and of which images."""
    training: str = ""
    """Equal in trainings of which one repeats the other, whatever number of steps they took; empty of others."""
    split: str = "test"
    """Of whose images the figures are, ``test`` or ``val``."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """By name, without those that are the run's own; none of a row of ``compare``."""
    images: str = ""
    """Equal in runs that trained and were evaluated on the same images; empty where nobody knows these."""
    written: str = ""
    """When, in UTC, as ISO 8601; empty of older files, which do not say."""
    shared: bool = False
    """Whether each comparison on the checkpoint has the same again: stage 1, the oracle, and what nothing trains."""
