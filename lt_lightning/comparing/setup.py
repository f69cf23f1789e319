"""What a comparison works on: everything that is known, and found fit, before any image passes through a network."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from lt_lightning.backbones import Backbone
from lt_lightning.comparing import paper
from lt_lightning.comparing.grid import Point, points, read_grid
from lt_lightning.comparing.methods import STAGE1, Method, find_methods
from lt_lightning.comparing.outcome import Options
from lt_lightning.comparing.rehearsal import rehearse_methods
from lt_lightning.comparing.selection import Selection, may_select
from lt_lightning.comparing.settings import SettingsParser, about
from lt_lightning.comparing.source import read_source
from lt_lightning.comparing.training import Trained
from lt_lightning.data import LTDataModule
from lt_lightning.data.announced import check_announced
from lt_lightning.data.base import Split
from lt_lightning.devices.choice import device_of
from lt_lightning.errors import UsageError
from lt_lightning.features import Views
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.modules.contract import length_of_features
from lt_lightning.processes import is_first_of_group


class Setup:
    """Checkpoint, data, methods and their settings, checked.

    Args:
        checkpoint: See :func:`compare`, also for the others.
        backbone: Gets the checkpoint's weights.
        data: Where nothing is selected, as under the papers' protocol, what it holds out is put back to train.
        methods: Names.
        grid: Values by key.
        options: How methods are compared.

    Attributes:
        data: Training, validation and test images.
        whole: The same with validation images put back that came from the training images, where the chosen settings
            are trained once more on them; ``None`` elsewhere.
        pool: Balanced images for the oracle; ``None`` without one.
        counts: Training images per class while settings are chosen.
        methods: In the order of the rows.
        points: Settings to try, by method.
        selection: Whether settings are selected, and why.
        source: The checkpoint, read.
        device: Where heads are trained.
        warnings: What to mind; grows.
    """

    def __init__(
        self,
        checkpoint: str,
        backbone: Backbone,
        data: LTDataModule,
        methods: str | Sequence[str],
        grid: Mapping[str, Any],
        options: Options,
    ) -> None:
        check_announced(data)
        self.on_images = options.protocol == "paper"
        if self.on_images:
            paper.check(grid, options)
            data = data.with_held_out()
        self.data, self.options = data, options
        self.counts = data.class_counts
        self.parser = SettingsParser()
        self.grid = read_grid(grid)
        num_features = length_of_features(backbone)
        self.methods = self._find_methods(methods, num_features)
        self.points = points(self.methods, self.grid, self.parser, default=not self.on_images)
        self._check_points(num_features)
        self.pool = self._balanced_pool()
        self._check_images()
        self.source = read_source(checkpoint, backbone, data, options.checkpoint_class_names, options.allow_partial)
        self.selection = self._may_select()
        self.put_back = 0
        if not self.selection.allowed:
            self.points = points(self.methods, {}, self.parser, default=False)  # a grid without images to choose by
            self.data = data.with_held_out()  # images that choose nothing are better trained on
            self.put_back = sum(self.data.class_counts) - sum(data.class_counts)
            self.counts = self.data.class_counts
        refits = self.selection.allowed and data.describe_split().get("val_from") == "train"
        self.whole = data.with_held_out() if refits else None
        self.device = device_of(options.features.device, apple=False)
        first = [tried[0] for tried in self.points.values()]
        rehearse_methods(first, self.source.classifier, self.counts, self.parser, self.device)
        self.warnings: list[str] = []

    def _find_methods(self, names: str | Sequence[str], num_features: int) -> list[Method]:
        found = find_methods(names, self.counts, self.parser, num_features)
        size = self.options.batch_size
        return [method.with_settings(batch_size=size) for method in found] if size else found

    def _check_points(self, num_features: int) -> None:
        """Make all that will train, the first of each method at its size: of 8,142 classes each takes seconds.

        A head of one's own may be particular about its size, and has it always.
        """
        for tried in self.points.values():
            for place, point in enumerate(tried):
                given = {key: value for key, value in point.values.items() if key in self.grid}
                with about(point.method.name, given):
                    self._check_point(point, num_features, place == 0)

    def _check_point(self, point: Point, num_features: int, first: bool) -> None:
        plain, name = point.method.plain, point.method.name
        settings = self.parser.make(plain, name)
        whole = first or "head" in self.parser.from_elsewhere(plain, name)
        parts = settings.parts(num_features if whole else 1, self.counts)
        if point.method.trains:
            settings.training(*parts)

    def _balanced_pool(self) -> LTDataModule | None:
        pool = self.data.balanced_pool() if self.options.oracle is not False and not self.on_images else None
        if self.options.oracle and pool is None:
            raise UsageError(
                f"`oracle` needs a balanced pool that the long tail was cut from, and `{type(self.data).__name__}` has "
                f"none; leave it out."
            )
        return pool

    def _check_images(self) -> None:
        needed: tuple[Split, ...] = ("train", "test")
        for name in needed:
            self.data.required(name, "compare")

    def _may_select(self) -> Selection:
        if self.on_images:
            return paper.BEST_ON_TEST
        data, source = self.data, self.source
        return may_select(data.has_validation, data.describe_split(), source.split, self.options.unseen, source.past)

    @property
    def trained_on(self) -> LTDataModule:
        """Data with the training images of the heads that are tested, by whose numbers their groups go."""
        return self.data if self.whole is None else self.whole

    @property
    def every_point(self) -> list[Point]:
        """The settings of all methods."""
        return [point for tried in self.points.values() for point in tried]

    @property
    def views(self) -> Views:
        """Views of the training images that heads train on: by default one for each epoch of the longest method."""
        lengths = [self.epochs(method) for method in self.methods if method.trains]
        return max(lengths, default=1) if self.options.views == "published" else self.options.views

    def epochs(self, method: Method) -> int:
        """Length of a method's training."""
        return self.parser.make(method.plain, method.name).epochs

    @cached_property
    def stage1(self) -> Trained:
        """The checkpoint's own classifier, as a head that has been trained."""
        classifier = self.source.classifier
        head = LinearHead(classifier.weight.shape[1], self.counts)
        head.init_from(classifier.weight, classifier.bias)
        point = Point(Method(STAGE1, {}, trains=False), {})
        return Trained(point, self.options.seeds[0], head.to(self.device).eval(), CrossEntropyLoss(self.counts))

    def warn(self, text: str) -> None:
        """Say something to mind, once, and record it."""
        self.warnings.append(text)
        if is_first_of_group():
            warnings.warn(text, stacklevel=4)
