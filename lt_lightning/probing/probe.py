"""Cross entropy on the features of a frozen backbone: the stage 1 of a network that is not to be trained."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from lt_lightning.backbones import Backbone
from lt_lightning.comparing.checks import check_labelled
from lt_lightning.comparing.evaluation import ROWS, mean_accuracies
from lt_lightning.comparing.selection import choose
from lt_lightning.comparing.training import on_device
from lt_lightning.data import LTDataModule
from lt_lightning.data.base import Split
from lt_lightning.data.same_images import check_same_images
from lt_lightning.devices.choice import device_of
from lt_lightning.devices.modes import usual_modes
from lt_lightning.devices.tf32 import tf32
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, Features, extract
from lt_lightning.features.room import check_room
from lt_lightning.functional.logistic_regression import LinearFit, fit_logistic_regression, standardization
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.modules.contract import length_of_features
from lt_lightning.modules.evaluation import Evaluation
from lt_lightning.processes import rank_and_world_size
from lt_lightning.progress import Advance, progress_bar

PENALTIES = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Tried by default, on the mean cross entropy of standardised features: from underfitted to all but none."""

_PASSES = 100
"""Over the features, that fitting a penalty takes; of those that were counted 7 to 361."""


@dataclass(frozen=True)
class TriedPenalty:
    """One penalty and what validation images say of it.

    Attributes:
        l2: The penalty.
        score: Accuracy on validation images, mean over classes, in [0, 1]; NaN without such images.
    """

    l2: float
    score: float


@dataclass(frozen=True)
class Probe:
    """A linear classifier fitted to the features of a frozen backbone.

    Attributes:
        head: On the CPU, in evaluation mode.
        chosen: Its penalty.
        tried: All penalties, the largest first.
        features: How each split's were made, by its name.
        evaluation: Figures of ``val`` and ``test``, as far as there are such images, as ``results.json`` has them.
        seconds: By part.
        device: Where it was fitted.
    """

    head: LinearHead
    chosen: TriedPenalty
    tried: list[TriedPenalty]
    features: dict[str, dict[str, Any]]
    evaluation: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    device: torch.device

    @property
    def at_edge(self) -> Literal["largest", "smallest"] | None:
        """Whether the chosen penalty ends three or more that were tried: one beyond it may be better."""
        if len(self.tried) < 3 or self.chosen not in (self.tried[0], self.tried[-1]):
            return None
        return "largest" if self.chosen is self.tried[0] else "smallest"


def probe(
    backbone: Backbone,
    data: LTDataModule,
    penalties: Sequence[float] = PENALTIES,
    options: ExtractionOptions | None = None,
) -> Probe:
    """Fit a linear classifier to a backbone's features of the training images, each passed through it once.

    Multinomial logistic regression on standardised features, solved to its minimum: no seed, no learning rate. Of
    several penalties that is taken whose accuracy on validation images is best, mean over classes, and of equal ones
    the largest. Nothing is balanced: it is the plain classifier that methods of stage 2 begin with and are held
    against.

    Args:
        backbone: With the weights to use; it is not changed.
        data: Training images, and validation and test images as far as there are any.
        penalties: See :func:`fit_logistic_regression`, in any order; several need validation images.
        options: How features are computed and kept.

    Raises:
        UsageError: If there are no training images, test images lack labels, there is a choice and nothing to choose
            by, features have no room, or the backbone does not say how long they are.
    """
    with usual_modes(), torch.random.fork_rng(devices=[]):
        check_same_images(data, ("train", "val", "test"))
        return _probe(backbone, data, penalties, options or ExtractionOptions())


def _probe(backbone: Backbone, data: LTDataModule, penalties: Sequence[float], options: ExtractionOptions) -> Probe:
    length_of_features(backbone)
    if len(penalties) > 1 and not data.has_validation:
        raise UsageError(
            "`l2` cannot be chosen, for there are no validation images; put some into a `val` folder or split, hold "
            "some out with `data.val_from`, or give one number."
        )
    check_labelled(data)
    started = time.perf_counter()
    splits: tuple[Split, ...] = ("val", "test")
    wanted: list[Split] = ["train", *(name for name in splits if data.split(name) is not None)]
    check_room(backbone, [(data, name, 1) for name in wanted], 0, options)
    features = {name: extract(backbone, data, name, options=options) for name in wanted}
    extracted = time.perf_counter()
    train, val = features["train"], features.get("val")
    with tf32(False, device_of(options.device, apple=False)):
        fitted = _fit_all(train, data.class_counts, penalties, options)
        tried = [TriedPenalty(l2, _score(head, val, data)) for l2, head in fitted.items()]
        best = choose([each.score for each in tried]) or 0
        head = fitted[tried[best].l2]
        evaluation: dict[str, dict[str, Any]] = {name: _evaluate(head, features[name], data) for name in wanted[1:]}
    records: dict[str, dict[str, Any]] = {name: each.record for name, each in features.items()}
    seconds = {"features": extracted - started, "fit": time.perf_counter() - extracted}
    device = head.weight.device
    return Probe(head.cpu(), tried[best], tried, records, evaluation, seconds, device)


def _fit_all(
    train: Features, class_counts: list[int], penalties: Sequence[float], options: ExtractionOptions
) -> dict[float, LinearHead]:
    """A head for each penalty; each fit begins where that of the next larger one has ended."""
    device, found = device_of(options.device, apple=False), {}
    train = on_device(train, device)
    rows, start = train.values[0], None
    scaling = standardization(rows)
    bar = progress_bar(f"fitting {len(penalties)} penalties", len(penalties), options.progress)
    with bar as advance:
        for l2 in sorted(penalties, reverse=True):
            with _one_step(advance) as on_part:
                start = fit_logistic_regression(
                    rows, train.targets, len(class_counts), l2, start, scaling, device, on_part=on_part
                )
            found[l2] = _head(start, class_counts)
    return found


@contextmanager
def _one_step(advance: Advance) -> Iterator[Advance]:
    """Let passes over the features move a bar on by parts of a step, and their end by the rest of it."""
    rest = 1.0

    def advance_part(passes: float) -> None:
        nonlocal rest
        part = rest * passes / _PASSES  # of the rest, which so is never used up: there may be more passes
        rest -= part
        advance(part)

    yield advance_part
    advance(rest)


def _head(fit: LinearFit, class_counts: list[int]) -> LinearHead:
    head = LinearHead(fit.weight.shape[1], class_counts)
    head.init_from(fit.weight.cpu().float(), fit.bias.cpu().float())
    return head.to(fit.weight.device).eval()


def _score(head: LinearHead, val: Features | None, data: LTDataModule) -> float:
    if val is None:
        return float("nan")
    (score,) = mean_accuracies([head], val, data.class_counts, data.group_thresholds, head.weight.device)
    return score


@torch.inference_mode()
def _evaluate(head: LinearHead, features: Features, data: LTDataModule) -> dict[str, Any]:
    """Figures over all processes, of which each counts a share, as metrics expect."""
    loss = CrossEntropyLoss(data.class_counts)
    metrics = Evaluation(data.class_counts, data.group_thresholds)
    rank, world_size = rank_and_world_size()
    share = torch.arange(rank, len(features), world_size)
    for rows in torch.split(share, ROWS):
        logits = head.predict(features.values[0, rows].to(head.weight.device).float()).cpu()
        metrics.update(logits, loss.probabilities(logits), features.targets[rows])
    return {"epoch": 0, "test_time_averaging": "none", **metrics.record(head)}
