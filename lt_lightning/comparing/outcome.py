"""What a comparison is asked for, and what it finds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lt_lightning.checkpoints import to_linear
from lt_lightning.comparing.evaluation import Predictions
from lt_lightning.comparing.grid import Grid, Point
from lt_lightning.comparing.methods import ORACLE, STAGE1
from lt_lightning.comparing.selection import Selection, choose
from lt_lightning.comparing.source import Source
from lt_lightning.comparing.training import Trained
from lt_lightning.data import LTDataModule
from lt_lightning.errors import UsageError, check_at_least_1
from lt_lightning.features import ExtractionOptions, Features, Views
from lt_lightning.features.views import is_views

NO_GAIN = "no method is better than stage 1 on the validation images"
OTHER_ORDER = "the checkpoint's classes seem to stand in another order than the data's"
BY_CHANCE = "stage 1 is right as by chance, and nothing names the checkpoint's classes"


@dataclass(frozen=True)
class Options:
    """How methods are compared.

    Attributes:
        seeds: Of first weights, of the order of images and, the first of them, of augmentation.
        protocol: ``validation`` chooses settings on validation images; ``paper`` trains on images, batch normalisation
            in training mode, tests with mirror images after every epoch, and reports the best epoch of the best seed
            on test images, as papers do, which is comparable with such figures alone.
        views: Augmented versions of each training image to compute features from: ``published`` takes as many as the
            longest method has epochs, 1 takes the image as it is, ``all`` every crop and mirror image of a small one.
        batch_size: Images per step; by default each method's own.
        unseen: Say ``true`` if you know that stage 1 has not seen the validation images; needed where the checkpoint
            does not record its training images.
        oracle: Whether a linear head is trained on the balanced set that the tail was cut from, to show what a
            classifier could gain; by default if there is such a set.
        draws: Resampled test sets from which the bootstrap takes its intervals.
        allow_partial: Whether the checkpoint may lack a part of the backbone, or have layers beside it that are left
            aside, though its classifier may stand behind them.
        checkpoint_class_names: Class of each row of the checkpoint's classifier; by default in the data's order.
        features: How features are computed and kept.
    """

    seeds: Sequence[int] = (0,)
    protocol: Literal["validation", "paper"] = "validation"
    views: Views | Literal["published"] = "published"
    batch_size: int | None = None
    unseen: bool = False
    oracle: bool | None = None
    draws: int = 2000
    allow_partial: bool = False
    checkpoint_class_names: list[str] | None = None
    features: ExtractionOptions = field(default_factory=ExtractionOptions)

    def __post_init__(self) -> None:
        if self.protocol not in ("validation", "paper"):
            raise UsageError(f"`protocol` must be validation or paper, but got {self.protocol!r}.")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"`seeds` must be different numbers of at least 0, but got {list(self.seeds)}.")
        if self.views != "published" and not is_views(self.views):
            raise UsageError(f'`views` must be 1, a larger number, "all" or "published", but got {self.views!r}.')
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(
                f"`batch_size` must be at least 1, but got {self.batch_size}; leave it out for each method's own."
            )
        check_at_least_1(draws=self.draws)


@dataclass(frozen=True)
class TriedPoint:
    """A grid point's figures on the validation images.

    Attributes:
        values: What it changes of the method's settings.
        scores: Accuracy, mean over the classes with validation images, of each seed; NaN where training diverged.
    """

    values: dict[str, Any]
    scores: list[float]

    @property
    def mean(self) -> float:
        """Over seeds; NaN if one of them diverged."""
        return statistics.mean(self.scores)  # of equal scores it is that score, whatever their number


@dataclass(frozen=True)
class Run:
    """One seed of a method under the papers' protocol.

    Attributes:
        seed: Of first weights, order of images and augmentation.
        best_epoch: The one that is best on the test images, from 1; 0 if training diverged at once.
        test: Accuracy on the test images after each epoch, mean over classes; NaN where training has diverged.
        seconds: Of training, tests included.
    """

    seed: int
    best_epoch: int
    test: list[float]
    seconds: float


@dataclass
class Row:
    """One line of the leaderboard.

    Attributes:
        name: Of the method.
        selection: ``val``, ``unselected``, ``best_on_test``, or ``none`` for what has no settings to choose.
        point: The settings tested; ``None`` for stage 1.
        tried: All points on the validation images; empty where nothing was selected.
        heads: Trained with the settings chosen, one of each seed, or, under the papers' protocol, that of the best
            seed; empty if every point diverged.
        tests: What each of them says of the test images.
        seconds: Time that training took, all points and seeds together.
        to_stage1: Difference to stage 1 over test images.
        to_winner: Difference to the winner; ``None`` where there is none.
        val_correct: Share of seeds that are right about each validation image, ``(N,)``, of the heads that were chosen
            on these images; ``None`` where nothing was selected.
        val_to_winner: Difference to the winner over validation images; ``None`` where there is none.
        runs: Every seed under the papers' protocol; empty otherwise.
    """

    name: str
    selection: str
    point: Point | None
    tried: list[TriedPoint]
    heads: list[Trained]
    tests: list[Predictions] = field(default_factory=list)
    seconds: float = 0.0
    to_stage1: dict[str, float] | None = None
    to_winner: dict[str, float] | None = None
    val_correct: Tensor | None = None
    val_to_winner: dict[str, float] | None = None
    runs: list[Run] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The best mean on the validation images; NaN where there is none."""
        best = choose([tried.mean for tried in self.tried])
        return float("nan") if best is None else self.tried[best].mean

    @property
    def at_edge(self) -> dict[str, Literal["largest", "smallest"]]:
        """Keys whose chosen number ends a row of three or more that were tried: one beyond it may be better."""
        found: dict[str, Literal["largest", "smallest"]] = {}
        for key, value in (self.point.values if self.point else {}).items():
            tried = [point.values[key] for point in self.tried]
            if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in tried):
                continue  # words, nothing, or lists
            if len(set(tried)) < 3:
                continue
            if value == max(tried):
                found[key] = "largest"
            elif value == min(tried) != 0:  # there is nothing below 0
                found[key] = "smallest"
        return found

    @property
    def near_winner(self) -> bool:
        """Whether validation images cannot tell it from the winner: the interval of the difference includes 0."""
        difference = self.val_to_winner
        return difference is not None and difference["low"] <= 0 <= difference["high"]

    def linear(self) -> nn.Linear | None:
        """A plain linear layer that predicts as the first seed's head does; ``None`` where there is none.

        There is none either where batch normalisation has moved: the layer would need statistics that are not kept.
        """
        if not self.heads or self.runs:
            return None
        try:
            return to_linear(self.heads[0].head)
        except UsageError:
            return None

    def values(self, name: str) -> list[float]:
        """A test accuracy of each seed."""
        return [test.figures["accuracy"][name] for test in self.tests]

    def correct(self, targets: Tensor) -> Tensor:
        """Share of seeds that are right about each test image, ``(N,)``."""
        return torch.stack([test.classes == targets for test in self.tests]).double().mean(dim=0)


def methods_of(rows: list[Row]) -> list[Row]:
    """Those that have heads: neither stage 1 nor the oracle, nor what has diverged."""
    return [row for row in rows if row.heads and row.name not in (STAGE1, ORACLE)]


@dataclass
class Comparison:
    """Everything that :func:`compare` found.

    Attributes:
        rows: Of stage 1, each method, and the oracle if asked for.
        winner: The method that is best on the validation images; ``None`` where nothing is selected on them, or none
            is better there than stage 1.
        why_no_winner: In words, for the end of a sentence; ``None`` if there is one, or the protocol chooses on test
            images.
        selection: Whether settings were selected, and why.
        source: The checkpoint: backbone, classifier, record.
        data: What was compared on.
        trained_on: The same, but for validation images put back among the training images; groups go by its counts.
        features: By split: ``train`` without augmentation, ``shown`` as training saw it, ``val`` and ``test``; empty
            under the papers' protocol, which works on images.
        options: How it was done.
        grid: The user's grid; empty for the default one.
        warnings: What to mind.
        seconds: Of ``features`` and ``training``.
    """

    rows: list[Row]
    winner: Row | None
    why_no_winner: str | None
    selection: Selection
    source: Source
    data: LTDataModule
    trained_on: LTDataModule
    features: dict[str, Features]
    options: Options
    grid: Grid
    warnings: list[str]
    seconds: dict[str, float]

    @property
    def methods(self) -> list[Row]:
        """Rows of the methods that have not diverged."""
        return methods_of(self.rows)

    @property
    def test_targets(self) -> Tensor:
        """Class of each test image, ``(N,)``."""
        return self.data.required("test").targets

    def row(self, name: str) -> Row:
        """The row of a method.

        Raises:
            UsageError: If there is none of that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise UsageError(f"`name` {name!r} is no row; there are {', '.join(row.name for row in self.rows)}.")
