"""Runs the cells of a table that have not been run yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lt_lightning.errors import UsageError
from reproducing.lort import STAGE1
from reproducing.records import PROTOCOL, RESULTS, Key, Record, append, key_fields, key_of, read
from reproducing.stage2 import Heads, Mode, runs_of, train_heads
from reproducing.tables import Cell, Changes, Figure, Table, Training
from reproducing.training import Budget, Finished, train

Protocol = Literal["features", "validation", "images", "paper"]
TRAINING_FREE = ("tau_norm", "logit_adjustment", "ncm")
"""Stage-2 presets whose figures do not depend on a seed."""


@dataclass(frozen=True)
class Settings:
    """How cells are run.

    Attributes:
        root: Data folder; empty for the preset's.
        seeds: Of what is trained last.
        stage1_seeds: Of what stage 2 starts from.
        protocol: Of stage 2: ``images`` is ``fit`` with batch normalisation in training mode; the others are
            :data:`reproducing.stage2.Mode`.
        views: Augmented views that features are made of.
        precision: Instead of the preset's.
        accelerator: As the trainer takes it.
        checkpoint: A stage 1 from elsewhere; ``None`` trains the table's own.
        backbone: That it fits, as in YAML.
        runs: Folder of trainings and features.
        results: Folder of records.
        budget: Time that may be used.
    """

    root: str
    seeds: int = 1
    stage1_seeds: int = 1
    protocol: Protocol = "features"
    views: str = "published"
    precision: str = ""
    accelerator: str = ""
    checkpoint: Path | None = None
    backbone: Any = None
    runs: Path = Path("runs/reproduce")
    results: Path = RESULTS
    budget: Budget = field(default_factory=Budget)

    @property
    def for_all(self) -> Changes:
        """What every training is given."""
        trainer: dict[str, Any] = {"enable_progress_bar": False}
        trainer |= {name: getattr(self, name) for name in ("precision", "accelerator") if getattr(self, name)}
        data = {"data": {"init_args": {"root": self.root}}} if self.root else {}
        return {**data, "trainer": trainer}


@dataclass
class Outcome:
    """What came of running a table.

    Attributes:
        finished: Runs that are new.
        there: Runs that had been finished before.
        unfinished: What the budget has left, in words.
        impossible: Columns that could not be run, with the reason.
    """

    finished: int = 0
    there: int = 0
    unfinished: list[str] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)


def run_table(table: Table, cells: Sequence[Cell], settings: Settings) -> Outcome:
    """Run cells, one seed of everything before the next, and write each down as soon as it is finished.

    Raises:
        UsageError: If a stage 1 is given that cannot be the cells'.
    """
    return _Running(table, cells, settings).run()


class _Running:
    """A table on its way."""

    def __init__(self, table: Table, cells: Sequence[Cell], settings: Settings) -> None:
        self.table, self.settings, self.outcome = table, settings, Outcome()
        self.cells = list(cells)
        self.there = {key_of(record): record for record in read(settings.results, table.name)}
        if settings.checkpoint is not None:
            self.cells = _cells_on_a_file(table, self.cells)

    def run(self) -> Outcome:
        for name, work in self._work():
            column = self.table.column(name)
            if self.outcome.unfinished or name in self.outcome.impossible:
                continue
            try:
                work()
            except UsageError as error:
                self.outcome.impossible[name] = str(error)
                print(f"{self.table.name}, {column.title}: not run: {error}", flush=True)
        return self.outcome

    def _work(self) -> Iterator[tuple[str, Any]]:
        """Column and what is to be done for it, in order."""
        settings = self.settings
        from_scratch = settings.checkpoint is None
        alone = [cell for cell in self.cells if cell.stage2 is None and from_scratch]
        groups: dict[tuple[str, str], list[Cell]] = {}
        for cell in self.cells:
            if cell not in alone:
                groups.setdefault((cell.stage1.folder, cell.column), []).append(cell)
        seeds = range(settings.seeds)
        stage1_seeds = range(settings.stage1_seeds if from_scratch else 1)
        last = max(seeds.stop if not groups else 0, stage1_seeds.stop)
        for seed in range(last):
            for cell in alone:
                if seed in (stage1_seeds if groups else seeds):
                    yield cell.column, lambda cell=cell, seed=seed: self._fit(cell, seed)
            if seed in stage1_seeds:
                for cells in groups.values():
                    yield cells[0].column, lambda cells=cells, seed=seed: self._stage2(cells, seed)

    # -- one training ------------------------------------------------------------------------------------------------

    def _fit(self, cell: Cell, seed: int) -> None:
        key = Key(cell.row, cell.column, "fit", "", None, seed, precision=self.settings.precision)
        if self._has(key):
            return
        found = self._trained(f"{cell.row}, {cell.column}, seed {seed}", cell.stage1, seed)
        if found is not None:
            self._keep([fitted(key, cell.stage1, None, found)])

    def _trained(self, what: str, training: Training, seed: int, *more: Changes) -> Finished | None:
        """A tested training, of now or of before; ``None`` if the budget stopped it or kept it from starting."""
        folder = _folder(self.settings, training.changed(*more), seed)
        if not (folder / "finished.json").is_file() and not self.settings.budget.fits(self._an_epoch(training)):
            self.outcome.unfinished.append(what)
            return None
        print(f"{self.table.name}: {what}: {training.preset}", flush=True)
        config = training.config(*more, self.settings.for_all, {"seed_everything": seed})
        found = train(config, folder, self.settings.budget)
        if found is None:
            self.outcome.unfinished.append(f"{what} (stopped; it goes on from its checkpoint)")
        return found

    def _an_epoch(self, training: Training) -> float | None:
        """Seconds of an epoch as far as earlier runs of this table tell: this preset's, else the slowest."""
        known = {r["preset"]: r["seconds"] / r["epochs"] for r in self.there.values() if r.get("epochs")}
        return known.get(training.preset, max(known.values(), default=None))

    # -- stage 2 -----------------------------------------------------------------------------------------------------

    def _stage2(self, cells: Sequence[Cell], stage1_seed: int) -> None:
        """Every method and seed on one stage 1."""
        settings = self.settings
        first = cells[0].stage1
        name = _source(settings, first)
        seed1 = stage1_seed if settings.checkpoint is None else None
        wanted = {}
        for cell in cells:
            mode = "features" if cell.stage2 is None and settings.protocol == "images" else settings.protocol
            views = settings.views if mode in ("features", "validation") else ""
            free = cell.stage2 is None or cell.stage2.preset.rpartition("/")[2] in TRAINING_FREE
            for seed in range(1 if free else settings.seeds):
                key = Key(cell.row, cell.column, mode, name, seed1, seed, views, settings.precision)
                if not self._has(key):
                    wanted[key] = cell
        if not wanted:
            return
        checkpoint = settings.checkpoint
        if checkpoint is None:
            found = self._trained(f"stage 1, {cells[0].column}, seed {stage1_seed}", first, stage1_seed)
            if found is None:
                return
            checkpoint = found.checkpoint
        assert checkpoint is not None
        if settings.protocol == "images":
            for key, cell in wanted.items():
                if cell.stage2 is not None and not self.outcome.unfinished:
                    self._on_images(key, cell.stage2, checkpoint)
            wanted = {key: cell for key, cell in wanted.items() if cell.stage2 is None}
            if not wanted or self.outcome.unfinished:
                return
        self._on_features(wanted, checkpoint)

    def _on_images(self, key: Key, training: Training, checkpoint: Path) -> None:
        backbone = _backbone(self.settings)
        arguments = {"checkpoint": str(checkpoint.resolve()), "bn_mode": "train"}
        what = f"{key.row}, {key.column}, on images, seeds {key.stage1_seed}, {key.seed}"
        found = self._trained(what, training, key.seed, backbone, {"model": {"init_args": arguments}})
        if found is not None:
            self._keep([fitted(key, training, self._stage1(key), found)])

    def _on_features(self, wanted: dict[Key, Cell], checkpoint: Path) -> None:
        settings = self.settings
        keys = list(wanted)
        seeds = sorted({key.seed for key in keys})
        what = f"{len({key.row for key in keys})} rows of {keys[0].column}, {settings.protocol}"
        if not settings.budget.fits(self._a_comparison(keys[0])):
            self.outcome.unfinished.append(what)
            return
        print(f"{self.table.name}: {what}", flush=True)
        mode: Mode = "features" if settings.protocol == "images" else settings.protocol
        heads = Heads(settings.root, mode, settings.views, str(settings.runs / "features"), _backbone(settings))
        # Stage 1 as it is comes with any method; a training-free one costs nothing.
        methods = {c.stage2.preset: c.stage2 for c in wanted.values() if c.stage2 is not None}
        methods = methods or {"cifar100_lt/tau_norm": Training("cifar100_lt/tau_norm")}
        found = train_heads(list(methods.values()), checkpoint, seeds, heads)
        new = []
        for row, cell in {key.row: cell for key, cell in wanted.items()}.items():
            method = "stage 1" if cell.stage2 is None else cell.stage2.preset
            for run in runs_of(found["rows"][method]):
                key = replace(keys[0], row=row, seed=run["seeds"][0])
                if key in wanted:
                    new.append(_compared(key, cell.stage2, self._stage1(key), found, found["rows"][method], run))
        self._keep(new)

    def _a_comparison(self, key: Key) -> float | None:
        """Seconds that such a comparison took before, if this table has had one."""
        known = [r["comparison_seconds"] for k, r in self.there.items() if k.mode == key.mode and k.views == key.views]
        return max(known, default=None)

    def _stage1(self, key: Key) -> dict[str, Any]:
        another = self.settings.checkpoint is not None
        return {"name": key.stage1, "seed": key.stage1_seed, "another": another}

    # -- records -----------------------------------------------------------------------------------------------------

    def _has(self, key: Key) -> bool:
        if key in self.there:
            self.outcome.there += 1
            return True
        if key.mode == "paper":  # one record stands for all seeds
            same = [r for k, r in self.there.items() if replace(k, seed=key.seed) == key]
            return any(key.seed in r["seeds"] for r in same)
        return False

    def _keep(self, new: list[Record]) -> None:
        append(self.settings.results, self.table.name, new)
        self.there |= {key_of(record): record for record in new}
        self.outcome.finished += len(new)
        for record in new:
            main = self.table.column(record["key"]["column"]).main
            figure = f"{100 * record['accuracy'][main]:.2f} %"
            print(f"{self.table.name}: {record['key']['row']}: {figure}, {record['seconds']:.0f} s", flush=True)


def run_figure(figure: Figure, settings: Settings) -> Outcome:
    """Run a figure's grid on each stage 1: settings are judged on validation images, the chosen one is tested."""
    outcome = Outcome()
    there = {key_of(record) for record in read(settings.results, figure.name)}
    name = _source(settings, figure.stage1)
    for seed in range(settings.stage1_seeds if settings.checkpoint is None else 1):
        seed1 = seed if settings.checkpoint is None else None
        key = Key("lort", "grid", "validation", name, seed1, 0, settings.views, settings.precision)
        if key in there:
            outcome.there += 1
            continue
        checkpoint = settings.checkpoint
        if checkpoint is None:
            folder = _folder(settings, figure.stage1, seed)
            config = figure.stage1.config(settings.for_all, {"seed_everything": seed})
            trained = train(config, folder, settings.budget) if settings.budget.fits(None) else None
            if trained is None or not settings.budget.fits(None):
                outcome.unfinished.append(f"stage 1, seed {seed}")
                return outcome
            checkpoint = trained.checkpoint
        assert checkpoint is not None
        cache = str(settings.runs / "features")
        heads = Heads(settings.root, "validation", settings.views, cache, _backbone(settings))
        found = train_heads([figure.stage2], checkpoint, range(settings.seeds), heads, figure.grid)
        (row,) = (row for method, row in found["rows"].items() if method == figure.stage2.preset)
        stage1 = {"name": name, "seed": seed1, "another": settings.checkpoint is not None}
        run = {"seeds": list(range(settings.seeds)), "accuracy": row["mean"], "epochs": None, "seconds": row["seconds"]}
        record = _compared(key, figure.stage2, stage1, found, row, run)
        append(settings.results, figure.name, [record | {"points": row["validation"]}])
        outcome.finished += 1
    return outcome


# -- records of runs ---------------------------------------------------------------------------------------------------


def fitted(key: Key, training: Training, stage1: dict[str, Any] | None, found: Finished) -> Record:
    """A record of what ``fit`` and ``test`` have left."""
    results = found.results
    test = results["evaluation"]["test"]
    protocol = {"selection": "last epoch", "test_time_averaging": test["test_time_averaging"]}
    if stage1 is not None:
        protocol |= {"views": "images", "bn_mode": results["bn_mode"]}
    return {
        "key": key_fields(key),
        "preset": training.preset,
        "changes": training.changes,
        "stage1": stage1,
        "seeds": [key.seed],
        "protocol": protocol | {"precision": results["environment"]["precision"]},
        "epochs": results["epochs"],
        "accuracy": test["accuracy"],
        "standard_deviation": None,
        "seconds": found.seconds,
        "training_images_per_second": results["training_images_per_second"],
        "environment": results["environment"],
        "hashes": results["data"].get("hashes", {}),
    }


def _compared(
    key: Key,
    training: Training | None,
    stage1: dict[str, Any],
    found: dict[str, Any],
    row: dict[str, Any],
    run: dict[str, Any],
) -> Record:
    protocol = {name: found["protocol"][name] for name in PROTOCOL}
    if protocol["selection"] == "unselected":
        protocol["selection"] = "last epoch"
    return {
        "key": key_fields(key),
        "preset": None if training is None else training.preset,
        "changes": {} if training is None else training.changes,
        "stage1": {**stage1, "backbone": found["backbone"]},
        "seeds": run["seeds"],
        "protocol": protocol,
        "aggregation": found["protocol"]["aggregation"],
        "epochs": run["epochs"],
        "chosen": row["chosen"],
        "accuracy": run["accuracy"],
        "standard_deviation": row["standard_deviation"] if len(run["seeds"]) > 1 else None,
        "seconds": run["seconds"],
        "comparison_seconds": found["wall_seconds"],
        "environment": found["environment"],
        "hashes": found["data"].get("hashes", {}),
    }


def _folder(settings: Settings, training: Training, seed: int) -> Path:
    """Of one training, whatever table it belongs to."""
    return settings.runs / training.folder / (f"seed_{seed}" + (settings.precision and f"-{settings.precision}"))


def _source(settings: Settings, stage1: Training) -> str:
    """What stage 2 started from, in a few words."""
    if settings.checkpoint is None:
        return stage1.preset
    backbone = settings.backbone if isinstance(settings.backbone, str) else settings.backbone["class_path"]
    return f"{backbone}, {settings.checkpoint.name}"


def _backbone(settings: Settings) -> Changes:
    return {} if settings.backbone is None else {"model": {"init_args": {"backbone": settings.backbone}}}


def _cells_on_a_file(table: Table, cells: list[Cell]) -> list[Cell]:
    """The cells that can start from a checkpoint of the user's."""
    kept = [cell for cell in cells if cell.stage2 is not None or cell.row == STAGE1]
    stages1 = {cell.stage1.folder for cell in kept}
    if len(stages1) != 1:
        why = "has no stage 2" if not stages1 else f"has {len(stages1)} stages 1"
        raise UsageError(f"`checkpoint` cannot go with {table.name}, which {why} here; give `columns` that have one.")
    return kept
