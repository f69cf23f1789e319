"""Rows of the default protocol: heads are trained on features, and validation images choose their settings."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import Tensor

from lt_lightning.comparing.evaluation import mean_accuracies, share_correct
from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.kept_heads import in_portions
from lt_lightning.comparing.methods import ORACLE, STAGE1, Method, recipe
from lt_lightning.comparing.outcome import Row, TriedPoint
from lt_lightning.comparing.selection import choose
from lt_lightning.comparing.setup import Setup
from lt_lightning.comparing.testing import fit_to_validation
from lt_lightning.comparing.training import Trained, train
from lt_lightning.data import LTDataModule
from lt_lightning.features import Features
from lt_lightning.progress import Advance, progress_bar

_Features = dict[str, Features]
"""By name, as :func:`extract_all` gives them."""


def stage1_row(setup: Setup, features: _Features) -> Row:
    """The checkpoint's own classifier."""
    head = setup.stage1
    head.temperature = fit_to_validation(setup, head, features)
    tried = [TriedPoint({}, _scores(setup, [head], features))] if setup.selection.allowed else []
    return Row(STAGE1, "none", None, tried, [head], val_correct=_right(setup, [head], features))


def method_rows(setup: Setup, features: _Features) -> list[Row]:
    """Each method, trained with every setting and seed, and the settings chosen."""
    together = in_portions(setup, setup.points)
    with _progress(setup, setup.every_point) as advance:
        rows = [row for names in together for row in _portion_rows(setup, names, features, advance)]
    if setup.whole is not None:
        _refit(setup, setup.whole, rows, features)
    return rows


def _portion_rows(setup: Setup, names: Sequence[str], features: _Features, advance: Advance) -> list[Row]:
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
            setup.warn(
                f"Training of {name} diverged with every setting; give it smaller ones by `grid.lr`."
                if point.method.trains
                else f"Logits of {name} are not finite with any setting; give it others by `grid`."
            )
        right = _right(setup, chosen, features)
        for trained in chosen:
            trained.temperature = fit_to_validation(setup, trained, features)
            trained.head.cpu()  # where it waits for the test: a GPU may not hold those of all methods
        rows.append(Row(name, setup.selection.label, point, found, chosen, seconds=seconds, val_correct=right))
    return rows


def oracle_row(setup: Setup, pool: LTDataModule, features: _Features) -> Row:
    """A linear head trained on the balanced pool."""
    point = Point(Method(ORACLE, recipe()), {})
    with _progress(setup, [point]) as advance:
        heads = _train(setup, [point], pool, features["pool"], features["pool"], advance)
    return Row(ORACLE, "none", point, [], heads, seconds=sum(head.seconds for head in heads))


def _progress(setup: Setup, wanted: Sequence[Point]) -> AbstractContextManager[Advance]:
    total = sum(setup.epochs(point.method) * len(setup.options.seeds) for point in wanted if point.method.trains)
    title = f"epochs of {len(wanted)} setting{'s' if len(wanted) > 1 else ''}"
    return progress_bar(title, total, setup.options.features.progress)


def _train(
    setup: Setup,
    wanted: Sequence[Point],
    data: LTDataModule,
    shown: Features,
    plain: Features,
    advance: Advance,
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


def _refit(setup: Setup, whole: LTDataModule, rows: Sequence[Row], features: _Features) -> None:
    """Train chosen settings anew on the training images with the validation images that came from them."""
    chosen = {row.name: [row.point] for row in rows if row.point and row.heads}
    by_name = {row.name: row for row in rows}
    with _progress(setup, [point for points in chosen.values() for point in points]) as advance:
        for names in in_portions(setup, chosen):
            _refit_portion(setup, whole, [by_name[name] for name in names], features, advance)


def _refit_portion(
    setup: Setup, whole: LTDataModule, rows: Sequence[Row], features: _Features, advance: Advance
) -> None:
    """Put heads trained anew in the place of those of some rows, which keep the temperatures fitted before."""
    before = [[head.temperature for head in row.heads] for row in rows]
    for row in rows:
        row.heads = []  # their room goes to the new ones
    points = [row.point for row in rows if row.point]
    heads = _train(setup, points, whole, features["whole_shown"], features["whole"], advance)
    for row, temperatures in zip(rows, before, strict=True):
        found = [head for head in heads if head.point is row.point]
        if any(head.diverged for head in found):
            setup.warn(f"Training of {row.name} diverged on all training images; give smaller rates by `grid.lr`.")
            continue
        for head, temperature in zip(found, temperatures, strict=True):
            head.temperature = temperature
            head.head.cpu()  # as those before
            row.seconds += head.seconds
        row.heads = found
