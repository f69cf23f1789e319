"""Rows of the default protocol: heads are trained on features, and validation images choose their settings."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from torch import Tensor

from lt_lightning.comparing.evaluation import mean_accuracies, share_correct
from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.methods import ORACLE, STAGE1, Method, recipe
from lt_lightning.comparing.outcome import Row, TriedPoint
from lt_lightning.comparing.selection import choose
from lt_lightning.comparing.setup import Setup
from lt_lightning.comparing.testing import fit_to_validation
from lt_lightning.comparing.training import Trained, train
from lt_lightning.data import LTDataModule
from lt_lightning.features import Features
from lt_lightning.progress import progress_bar
from lt_lightning.retraining import portions

KEPT_BYTES = 2**32
"""Weights of heads that wait for their scores: 64 of 8142 × 2048. A default comparison has more, for each seed."""

_Features = dict[str, Features]
"""By name, as :func:`extract_all` gives them."""


def stage1_row(setup: Setup, features: _Features) -> Row:
    """The checkpoint's own classifier."""
    head = setup.stage1
    tried = [TriedPoint({}, _scores(setup, [head], features))] if setup.selection.allowed else []
    return Row(STAGE1, "none", None, tried, [head], val_correct=_right(setup, [head], features))


def method_rows(setup: Setup, features: _Features) -> list[Row]:
    """Each method, trained with every setting and seed, and the settings chosen."""
    each = setup.source.classifier.weight.nbytes * len(setup.options.seeds)
    together = portions(setup.points, lambda name: each * len(setup.points[name]), KEPT_BYTES)
    with _progress(setup, setup.every_point) as advance:
        rows = [row for names in together for row in _portion_rows(setup, names, features, advance)]
    return rows if setup.whole is None else _refitted(setup, setup.whole, rows, features)


def _portion_rows(setup: Setup, names: Sequence[str], features: _Features, advance: Callable[[int], None]) -> list[Row]:
    """Rows of some methods; when it returns, only their chosen heads are left."""
    wanted = [point for name in names for point in setup.points[name]]
    heads = _train(setup, wanted, setup.data, features["shown"], features["train"], advance)
    scores = dict(zip(heads, _scores(setup, heads, features), strict=True)) if setup.selection.allowed else {}
    rows = []
    for name in names:
        tried = setup.points[name]
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
        right = _right(setup, chosen, features)
        rows.append(Row(name, setup.selection.label, point, found, chosen, seconds=seconds, val_correct=right))
    return rows


def oracle_row(setup: Setup, pool: LTDataModule, features: _Features) -> Row:
    """A linear head trained on the balanced pool."""
    point = Point(Method(ORACLE, recipe()), {})
    with _progress(setup, [point]) as advance:
        heads = _train(setup, [point], pool, features["pool"], features["pool"], advance)
    return Row(ORACLE, "none", point, [], heads, seconds=sum(head.seconds for head in heads))


def _progress(setup: Setup, wanted: Sequence[Point]) -> AbstractContextManager[Callable[[int], None]]:
    total = sum(setup.epochs(point.method) * len(setup.options.seeds) for point in wanted if point.method.trains)
    return progress_bar(f"training of {len(wanted)} settings", total, setup.options.features.progress)


def _train(
    setup: Setup,
    wanted: Sequence[Point],
    data: LTDataModule,
    shown: Features,
    plain: Features,
    advance: Callable[[int], None],
) -> list[Trained]:
    classifier, seeds = setup.source.classifier, setup.options.seeds
    return train(wanted, seeds, shown, plain, classifier, data.class_counts, setup.parser, setup.device, advance)


def _scores(setup: Setup, heads: Sequence[Trained], features: _Features) -> list[float]:
    """Accuracy of heads on validation images, the mean over classes that have some; NaN if training diverged."""
    judged, thresholds = [trained.head for trained in heads], setup.data.group_thresholds
    found = mean_accuracies(judged, features["val"], setup.counts, thresholds, setup.device)
    return [float("nan") if trained.diverged else score for trained, score in zip(heads, found, strict=True)]


def _right(setup: Setup, chosen: Sequence[Trained], features: _Features) -> Tensor | None:
    """Share of chosen heads that are right about each validation image, where such images choose."""
    if not setup.selection.allowed or not chosen:
        return None
    return share_correct([trained.head for trained in chosen], features["val"], setup.device)


def _refitted(setup: Setup, whole: LTDataModule, rows: list[Row], features: _Features) -> list[Row]:
    """Rows whose heads are trained anew on the training images with the validation images that came from them."""
    wanted = [row.point for row in rows if row.point and row.heads]
    with _progress(setup, wanted) as advance:
        heads = _train(setup, wanted, whole, features["whole_shown"], features["whole"], advance)
    for row in rows:
        before, row.heads = row.heads, [head for head in heads if head.point is row.point]
        if any(head.diverged for head in row.heads):
            setup.warn(f"Training of {row.name} diverged on all training images; give smaller rates by `grid.lr`.")
            before = row.heads = []
        for head, old in zip(row.heads, before, strict=True):
            head.temperature = fit_to_validation(setup, old, features)
            row.seconds += head.seconds
    return rows
