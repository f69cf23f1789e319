"""Many stage-2 methods on the frozen features of one checkpoint."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lt_lightning.backbones import Backbone
from lt_lightning.comparing import paper
from lt_lightning.comparing.evaluation import Predictions, accuracies, evaluate, predict, temperature
from lt_lightning.comparing.grid import Point, points, read_grid
from lt_lightning.comparing.methods import Method, find_methods, recipe
from lt_lightning.comparing.outcome import ORACLE, STAGE1, Comparison, Options, Row, TriedPoint
from lt_lightning.comparing.reading import read_source
from lt_lightning.comparing.selection import choose, may_select, memorised
from lt_lightning.comparing.settings import SettingsParser, start
from lt_lightning.comparing.training import Stage1, Trained, train
from lt_lightning.data import LTDataModule
from lt_lightning.errors import UsageError
from lt_lightning.features import Features, extract
from lt_lightning.features.processes import rank_and_world_size
from lt_lightning.functional import Difference, paired_bootstrap
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.tables import percent


def compare(
    checkpoint: str,
    backbone: Backbone,
    data: LTDataModule,
    methods: str | Sequence[str] = "all",
    grid: Mapping[str, Any] | None = None,
    options: Options | None = None,
) -> Comparison:
    """Train stage-2 methods on a checkpoint's frozen features, choose their settings, and test each choice once.

    Settings are chosen by the accuracy on validation images that neither stage has seen, mean over classes and seeds;
    test images are looked at when all choices are made. Without such images each method runs with its own settings.

    Args:
        checkpoint: File that stage 2 starts from: one of stage 1, or a plain PyTorch one.
        backbone: Feature extractor that the checkpoint holds the weights of.
        data: Long-tailed training images, test images and, to select on, validation images.
        methods: See :func:`find_methods`.
        grid: Values by key: ``lr``, ``weight_decay``, ``momentum``, or an argument of a method's loss or head. By
            default four points a method: learning rates, or what training-free methods have instead.
        options: Seeds, views and the rest.

    Raises:
        UsageError: If something does not fit, before features are extracted wherever it can be known by then.
    """
    return _Comparing(checkpoint, backbone, data, methods, grid or {}, options or Options()).run()


class _Comparing:
    """One comparison on its way."""

    def __init__(
        self,
        checkpoint: str,
        backbone: Backbone,
        data: LTDataModule,
        methods: str | Sequence[str],
        grid: Mapping[str, Any],
        options: Options,
    ) -> None:
        self.on_images = options.protocol == "paper"
        if self.on_images:
            paper.check(grid, options)
            data = data.with_held_out()  # nothing is validated on
        self.data, self.trained_on, self.options = data, data, options
        self.counts = data.class_counts
        self.parser = SettingsParser()
        self.grid = read_grid(grid)
        found = find_methods(methods, self.counts, self.parser)
        if options.batch_size:
            found = [method.with_settings(batch_size=options.batch_size) for method in found]
        self.methods = found
        self.points = points(found, self.grid, self.parser, default=not self.on_images)
        for point in [point for tried in self.points.values() for point in tried]:
            self.parser.make(point.method.plain, point.method.name).parts(backbone.num_features, self.counts)
        self.pool = data.balanced_pool() if options.oracle is not False and not self.on_images else None
        if options.oracle and self.pool is None:
            raise UsageError(
                f"`oracle` needs a balanced pool that the long tail was cut from, and `{type(data).__name__}` has "
                f"none; leave it out."
            )
        for name in ("train", "test"):
            if data.split(name) is None:
                raise UsageError(f"`{type(data).__name__}` has no {name} images, and `compare` needs some.")
        self.source = read_source(checkpoint, backbone, data, options.checkpoint_class_names, options.allow_partial)
        split = data.describe_split()
        self.selection = may_select(data.has_validation, split, self.source.split, options.unseen)
        if self.on_images:
            self.selection = paper.BEST_ON_TEST
        self.refits = self.selection.allowed and split.get("val_from") == "train"
        if not self.selection.allowed:
            self.points = points(found, {}, self.parser, default=False)  # a grid without images to choose by
        self.device = _device(options.features.device)
        self.warnings: list[str] = []
        self.features: dict[str, Features] = {}

    def run(self) -> Comparison:
        """Extract, train, choose, test."""
        started = time.perf_counter()
        if self.on_images:
            rows = self._paper_rows()
            self._judge(rows, None)
            seconds = {"features": 0.0, "training": sum(row.seconds for row in rows)}
            return self._found(rows, None, seconds | {"all": time.perf_counter() - started})
        self._extract()
        extracted = time.perf_counter()
        if not self.selection.allowed:
            aside = " The values of `grid` are left aside." if self.grid else ""
            self._warn(self.selection.reason + aside)
        self._check_memorised()
        rows = [self._stage1_row(), *self._method_rows()]
        if self.pool is not None:
            rows.append(self._oracle_row(self.pool))
        trained = time.perf_counter()
        for row in rows:
            row.tests = [self._test(head, row.name != ORACLE) for head in row.heads]
        winner = self._winner(rows)
        self._judge(rows, winner)
        seconds = {"features": extracted - started, "training": trained - extracted}
        return self._found(rows, winner, seconds | {"all": time.perf_counter() - started})

    def _found(self, rows: list[Row], winner: Row | None, seconds: dict[str, float]) -> Comparison:
        return Comparison(
            rows,
            winner,
            self.selection,
            self.source,
            self.data,
            self.trained_on,
            self.features,
            self.options,
            self.grid,
            self.warnings,
            seconds,
        )

    # -- features ----------------------------------------------------------------------------------------------------

    def _extract(self) -> None:
        seed, options, backbone = self.options.seeds[0], self.options.features, self.source.backbone
        for name in ("train", "val", "test"):
            if self.data.split(name) is not None:
                self.features[name] = extract(backbone, self.data, name, options=options)
        self.features["shown"] = self._shown(self.data, self.features["train"], seed)

    def _shown(self, data: LTDataModule, plain: Features, seed: int) -> Features:
        """Training images in as many views as are wanted."""
        lengths = [self._epochs(method) for method in self.methods if method.trains]
        views = max(lengths, default=1) if self.options.views == "published" else self.options.views
        if views == 1:
            return plain
        return extract(self.source.backbone, data, "train", views, seed, self.options.features)

    def _epochs(self, method: Method) -> int:
        return self.parser.make(method.plain, method.name).epochs

    # -- training and choosing ---------------------------------------------------------------------------------------

    def _train(self, wanted: list[Point], data: LTDataModule, shown: Features, plain: Features) -> list[Trained]:
        seeds = self.options.seeds
        total = sum(self._epochs(point.method) * len(seeds) for point in wanted if point.method.trains)
        with _bar(f"training of {len(wanted)} settings", total, self.options.features.progress) as advance:
            return train(
                wanted,
                seeds,
                shown,
                plain,
                self.source.classifier,
                data.class_counts,
                self.parser,
                self.device,
                advance.step,
            )

    def _method_rows(self) -> list[Row]:
        every = [point for tried in self.points.values() for point in tried]
        heads = self._train(every, self.data, self.features["shown"], self.features["train"])
        rows = []
        for name, tried in self.points.items():
            runs = [[head for head in heads if head.point is point] for point in tried]
            seconds = sum(head.seconds for run in runs for head in run)
            if self.selection.allowed:
                scores = [TriedPoint(p.values, [self._score(h) for h in r]) for p, r in zip(tried, runs, strict=True)]
                best = choose([score.mean for score in scores])
            else:
                scores, best = [], 0 if not any(head.diverged for head in runs[0]) else None
            point, chosen = (tried[0], []) if best is None else (tried[best], runs[best])
            if best is None:
                self._warn(f"Training of {name} diverged with every setting; give it smaller ones by `grid.lr`.")
            rows.append(Row(name, self.selection.label, point, scores, chosen, seconds=seconds))
        return self._refitted(rows) if self.refits else rows

    def _refitted(self, rows: list[Row]) -> list[Row]:
        """Rows whose heads are trained anew on the training images with the validation images that came from them."""
        whole = self.trained_on = self.data.with_held_out()
        plain = extract(self.source.backbone, whole, "train", options=self.options.features)
        shown = self._shown(whole, plain, self.options.seeds[0])
        heads = self._train([row.point for row in rows if row.point and row.heads], whole, shown, plain)
        for row in rows:
            before, row.heads = row.heads, [head for head in heads if head.point is row.point]
            for head, old in zip(row.heads, before, strict=True):
                head.temperature = self._temperature(old)
                row.seconds += head.seconds
        return rows

    def _score(self, head: Trained) -> float:
        """Accuracy on validation images, the mean over classes that have some; NaN if training diverged."""
        if head.diverged:
            return float("nan")
        logits = predict(head.head, self.features["val"], self.device)
        if not bool(logits.isfinite().all()):
            return float("nan")
        return accuracies(logits, self.features["val"].targets, self.counts, self.data.group_thresholds)["all"]

    def _stage1_row(self) -> Row:
        head = self._stage1()
        tried = [TriedPoint({}, [self._score(head)])] if self.selection.allowed else []
        return Row(STAGE1, "none", None, tried, [head])

    def _stage1(self) -> Trained:
        classifier: Stage1 = self.source.classifier
        head = LinearHead(classifier.weight.shape[1], self.counts)
        head.init_from(classifier.weight, classifier.bias)
        point = Point(Method(STAGE1, {}, trains=False), {})
        return Trained(point, self.options.seeds[0], head.to(self.device).eval(), CrossEntropyLoss(self.counts))

    def _oracle_row(self, pool: LTDataModule) -> Row:
        plain = extract(self.source.backbone, pool, "train", options=self.options.features)
        point = Point(Method(ORACLE, recipe()), {})
        heads = self._train([point], pool, plain, plain)
        return Row(ORACLE, "none", point, [], heads, seconds=sum(head.seconds for head in heads))

    def _check_memorised(self) -> None:
        if "val" not in self.features:
            return
        head = self._stage1().head
        val, plain = self.features["val"], self.features["train"]
        seen = torch.bincount(val.targets, minlength=len(self.counts)) > 0
        kept = seen[plain.targets]
        there = Features(plain.values[:, kept], plain.targets[kept])
        found = [
            accuracies(predict(head, part, self.device), part.targets, self.counts, self.data.group_thresholds)["all"]
            for part in (val, there)
        ]
        warning = memorised(*found)
        if warning is not None:
            self._warn(warning)

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        if rank_and_world_size()[0] == 0:
            warnings.warn(text, stacklevel=4)

    # -- the papers' protocol ----------------------------------------------------------------------------------------

    def _paper_rows(self) -> list[Row]:
        """Stage 1 and each method, tested on images."""
        rows = [self._as_it_is(Row(STAGE1, "none", None, [], [self._stage1()]))]
        wanted = [point for tried in self.points.values() for point in tried]
        # Before the bar appears: extraction has one of its own.
        untrained = {point.method.name: self._untrained(point) for point in wanted if not point.method.trains}
        total = sum(self._epochs(point.method) for point in wanted if point.method.trains) * len(self.options.seeds)
        shown = self.options.features.progress
        with _bar("training on images", total, shown) as advance:
            for number, point in enumerate(wanted, 1):
                row = Row(point.method.name, self.selection.label, point, [], [])
                if point.method.trains:
                    self._on_images(row, point, advance.step)
                else:
                    row.selection, row.heads = "unselected", [untrained[row.name]]
                    self._as_it_is(row)
                rows.append(row)
                if shown:
                    says = f"{percent(row.values('all')[0])} % on test images" if row.tests else "diverged"
                    print(f"{number} of {len(wanted)}: {row.name} {says}, {row.seconds:.0f} s", flush=True)
        return rows

    def _on_images(self, row: Row, point: Point, on_epoch: Callable[[int], None]) -> None:
        """Train with every seed, and keep the best in the row."""
        settings = self.parser.make(point.method.plain, point.method.name)
        found = [
            paper.train_on_images(point, seed, settings, self.source, self.data, self.device, on_epoch)
            for seed in self.options.seeds
        ]
        row.runs = [run for _, run, _ in found]
        row.seconds = sum(run.seconds for run in row.runs)
        best = choose([float("nan") if test is None else test.figures["accuracy"]["all"] for *_, test in found])
        if best is None:
            self._warn(f"Training of {row.name} diverged with every seed; give it smaller steps by a YAML file.")
            return
        trained, _, test = found[best]
        assert test is not None
        row.heads, row.tests = [trained], [test]

    def _untrained(self, point: Point) -> Trained:
        """A head that needs no training, made as the default protocol makes it."""
        settings = self.parser.make(point.method.plain, point.method.name)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.options.seeds[0])
            head, loss = settings.parts(self.source.backbone.num_features, self.counts)
        start(head, loss, self.source.classifier.weight, self.source.classifier.bias)
        if head.needs_features:
            plain = extract(self.source.backbone, self.data, "train", options=self.options.features)
            head.init_from_features(plain.values[0].float(), plain.targets)
        return Trained(point, self.options.seeds[0], head.eval(), loss.eval())

    def _as_it_is(self, row: Row) -> Row:
        trained = row.heads[0]
        row.tests = [paper.test_untrained(trained.head, trained.loss, self.source, self.data, self.device)]
        return row

    # -- testing -----------------------------------------------------------------------------------------------------

    def _temperature(self, head: Trained) -> float | None:
        if not self.selection.allowed:
            return None
        logits = predict(head.head, self.features["val"], self.device)
        return temperature(logits, self.features["val"].targets, head.loss.cpu())

    def _test(self, head: Trained, calibrated: bool) -> Predictions:
        test = self.features["test"]
        if head.temperature is None and calibrated:  # the oracle has trained on the validation images
            head.temperature = self._temperature(head)
        logits = predict(head.head, test, self.device)
        return evaluate(
            logits, test.targets, head.loss.cpu(), self.counts, self.data.group_thresholds, head.temperature
        )

    def _winner(self, rows: list[Row]) -> Row | None:
        if not self.selection.allowed:
            return None
        methods = [row for row in rows[1:] if row.heads]
        best = choose([row.score for row in methods])
        if best is None:
            return None
        if methods[best].score <= rows[0].score:
            self._warn("No method is better than stage 1 on the validation images; the best of them is no gain.")
        return methods[best]

    def _judge(self, rows: list[Row], winner: Row | None) -> None:
        test = self.data.split("test")
        assert test is not None
        targets = test.targets
        judged = [row for row in rows if row.tests]
        scores = torch.stack([row.correct(targets) for row in judged])
        for reference, name in ((rows[0], "to_stage1"), (winner, "to_winner")):
            if reference is None:
                continue
            found = paired_bootstrap(scores, reference.correct(targets), targets, self.options.draws)
            for place, row in enumerate(judged):
                if row is not reference:
                    setattr(row, name, _plain(found, place))


def _plain(found: Difference, place: int) -> dict[str, float]:
    return {name: float(getattr(found, name)[place]) for name in ("mean", "low", "high", "p_value")}


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


class _bar(AbstractContextManager["_bar"]):
    """A progress bar over epochs of heads, in the first process."""

    def __init__(self, title: str, total: int, shown: bool) -> None:
        columns = (TextColumn(title), BarColumn(), TimeRemainingColumn())
        hidden = not shown or rank_and_world_size()[0] > 0 or not Console().is_terminal
        self._progress = Progress(*columns, disable=hidden, transient=True)
        self._task = self._progress.add_task(title, total=total)

    def __enter__(self) -> "_bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, heads: int) -> None:
        """Move on by as many heads' epochs."""
        self._progress.advance(self._task, heads)
