"""Rows of the default protocol: heads are trained on features, and validation images choose their settings."""

from collections.abc import Sequence

from torch import Tensor

from lt_lightning.comparing.evaluation import accuracies, count_correct
from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.methods import Method, recipe
from lt_lightning.comparing.outcome import ORACLE, STAGE1, Row, TriedPoint
from lt_lightning.comparing.selection import choose
from lt_lightning.comparing.setup import Setup
from lt_lightning.comparing.testing import fit_to_validation
from lt_lightning.comparing.training import Trained, train
from lt_lightning.data import LTDataModule
from lt_lightning.features import Features
from lt_lightning.features.progress import progress_bar

_Features = dict[str, Features]
"""By name, as :func:`extract_all` gives them."""


def stage1_row(setup: Setup, features: _Features) -> Row:
    """The checkpoint's own classifier."""
    head = setup.stage1()
    tried = [TriedPoint({}, _scores(setup, [head], features))] if setup.selection.allowed else []
    return Row(STAGE1, "none", None, tried, [head])


def method_rows(setup: Setup, features: _Features) -> list[Row]:
    """Each method, trained with every setting and seed, and the settings chosen."""
    heads = _train(setup, setup.every_point, setup.data, features["shown"], features["train"])
    scores = dict(zip(heads, _scores(setup, heads, features), strict=True)) if setup.selection.allowed else {}
    rows = []
    for name, tried in setup.points.items():
        runs = [[head for head in heads if head.point is point] for point in tried]
        seconds = sum(head.seconds for run in runs for head in run)
        if setup.selection.allowed:
            found = [TriedPoint(p.values, [scores[head] for head in run]) for p, run in zip(tried, runs, strict=True)]
            best = choose([each.mean for each in found])
        else:
            found, best = [], 0 if not any(head.diverged for head in runs[0]) else None
        point, chosen = (tried[0], []) if best is None else (tried[best], runs[best])
        if best is None:
            setup.warn(f"Training of {name} diverged with every setting; give it smaller ones by `grid.lr`.")
        rows.append(Row(name, setup.selection.label, point, found, chosen, seconds=seconds))
    return rows if setup.whole is None else _refitted(setup, setup.whole, rows, features)


def oracle_row(setup: Setup, pool: LTDataModule, features: _Features) -> Row:
    """A linear head trained on the balanced pool."""
    point = Point(Method(ORACLE, recipe()), {})
    heads = _train(setup, [point], pool, features["pool"], features["pool"])
    return Row(ORACLE, "none", point, [], heads, seconds=sum(head.seconds for head in heads))


def _train(
    setup: Setup, wanted: Sequence[Point], data: LTDataModule, shown: Features, plain: Features
) -> list[Trained]:
    seeds = setup.options.seeds
    total = sum(setup.epochs(point.method) * len(seeds) for point in wanted if point.method.trains)
    with progress_bar(f"training of {len(wanted)} settings", total, setup.options.features.progress) as advance:
        return train(
            wanted, seeds, shown, plain, setup.source.classifier, data.class_counts, setup.parser, setup.device, advance
        )


def _scores(setup: Setup, heads: Sequence[Trained], features: _Features) -> list[float]:
    """Accuracy of heads on validation images, the mean over classes that have some; NaN if training diverged."""
    val = features["val"]
    correct: list[Tensor | None] = count_correct([trained.head for trained in heads], val, setup.device)
    return [
        float("nan")
        if right is None or trained.diverged
        else accuracies(right, val.targets, setup.counts, setup.data.group_thresholds)["all"]
        for trained, right in zip(heads, correct, strict=True)
    ]


def _refitted(setup: Setup, whole: LTDataModule, rows: list[Row], features: _Features) -> list[Row]:
    """Rows whose heads are trained anew on the training images with the validation images that came from them."""
    wanted = [row.point for row in rows if row.point and row.heads]
    heads = _train(setup, wanted, whole, features["whole_shown"], features["whole"])
    for row in rows:
        before, row.heads = row.heads, [head for head in heads if head.point is row.point]
        if any(head.diverged for head in row.heads):
            setup.warn(f"Training of {row.name} diverged on all training images; give smaller rates by `grid.lr`.")
            before = row.heads = []
        for head, old in zip(row.heads, before, strict=True):
            head.temperature = fit_to_validation(setup, old, features)
            row.seconds += head.seconds
    return rows
