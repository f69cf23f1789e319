"""How many heads are kept at the same time, and whether memory has room for them, asked before anything trains."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.settings import as_text
from lt_lightning.comparing.setup import Setup
from lt_lightning.errors import UsageError
from lt_lightning.features.memory import available_memory, in_all_processes
from lt_lightning.processes import on_first
from lt_lightning.retraining.loop import ROUND_BYTES
from lt_lightning.retraining.portions import portions
from lt_lightning.wording import first_few, human

KEPT_BYTES = 2**32
"""Weights of heads that wait for their scores: 64 of 8142 × 2048. A default comparison has more, for each seed."""


def in_portions(setup: Setup, points: Mapping[str, Sequence[Point]]) -> Iterator[list[str]]:
    """Names of methods, each time as many as have heads of no more than :data:`KEPT_BYTES`, one at least.

    Args:
        setup: What is compared.
        points: Settings to train, by method.
    """
    return portions(points, lambda name: _nbytes(setup, points[name]), KEPT_BYTES)


def check_heads(setup: Setup, features: int) -> None:
    """Refuse a comparison with more heads than memory has room for beside the features.

    Args:
        setup: What is compared.
        features: Bytes of the features that memory holds.

    Raises:
        UsageError: If they need more than there is, where the system tells how much that is.
    """
    heads = _most_bytes(setup)
    need, times = in_all_processes(heads + features)
    free = on_first(available_memory)
    if free is None or need <= free:
        return
    # Elsewhere memory holds those chosen alone.
    fewer = "`methods`, `seeds` or values of `grid`" if setup.device.type == "cpu" else "`methods` or `seeds`"
    beside, cached = "", ""
    if features:
        beside = f" beside {human(features)} of features"
        cached = ", or name a folder by `features.cache`, from which features are mapped"
    raise UsageError(
        f"`methods` {first_few(list(setup.points))} with `seeds` {list(setup.options.seeds)} have heads that take up "
        f"to {human(heads)} of memory as they train{beside}{times or ','} more than the {human(free)} available; "
        f"take fewer {fewer}{cached}."
    )


def _most_bytes(setup: Setup) -> int:
    """What memory holds of heads at the same time at the most.

    Those of the settings chosen wait there for the test. Where a GPU trains, it has those that wait for their scores.
    """
    chosen = most = 0
    for names in in_portions(setup, setup.points):
        tried = sum(_nbytes(setup, setup.points[name]) for name in names)
        if setup.device.type == "cpu":
            most = max(most, chosen + tried + _training_bytes(setup, names))
        chosen += sum(_nbytes(setup, setup.points[name][:1]) for name in names)
    return max(most, chosen)


def _training_bytes(setup: Setup, names: Sequence[str]) -> int:
    """What the heads that train at the same time take beside their weights: gradients or copies, and velocities.

    These are of one seed, for each has an order of images of its own.
    """
    together = Counter(
        (as_text(point.method.plain.get("sampler")), point.method.plain.get("batch_size"), setup.epochs(point.method))
        for name in names
        for point in setup.points[name]
        if point.method.trains
    )
    each = setup.source.classifier.weight.nbytes
    return 2 * min(max(together.values(), default=0) * each, max(ROUND_BYTES, each))


def _nbytes(setup: Setup, points: Sequence[Point]) -> int:
    """Weights of all heads of some settings: one for each seed, or a single one that nothing trains."""
    heads = sum(len(setup.options.seeds) if point.method.trains else 1 for point in points)
    return heads * setup.source.classifier.weight.nbytes
