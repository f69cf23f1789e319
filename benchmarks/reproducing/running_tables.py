"""Runs the cells of a table that have not been run yet."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lt_lightning.errors import UsageError
from lt_lightning.results import environment
from reproducing.lort import STAGE1
from reproducing.outcome import Outcome
from reproducing.recording import compared_row, fitted
from reproducing.records import Key, Record, append, key_of, of_another_table, read
from reproducing.settings import Settings
from reproducing.stage2 import Mode, runs_of, train_heads
from reproducing.tables import Cell, Changes, Table, Training
from reproducing.training import Finished, train

TRAINING_FREE = ("tau_norm", "logit_adjustment", "ncm")
"""Stage-2 presets whose figures do not depend on a seed."""


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
        training = cell.stage1
        twin = of_another_table(self.settings.results, self.table.name, key, training.preset, training.changes)
        if twin is not None:
            self._keep([twin])
            return
        found = self._trained(f"{cell.row}, {cell.column}, seed {seed}", training, seed)
        if found is not None:
            self._keep([fitted(key, training, None, found)])

    def _trained(self, what: str, training: Training, seed: int, *more: Changes) -> Finished | None:
        """A tested training, of now or of before; ``None`` if the budget stopped it or kept it from starting."""
        folder = self.settings.folder(training.changed(*more), seed)
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
        known = {r["preset"]: r["seconds"] / r["epochs"] for _, r in self._of_here() if r.get("epochs")}
        return known.get(training.preset, max(known.values(), default=None))

    # -- stage 2 -----------------------------------------------------------------------------------------------------

    def _stage2(self, cells: Sequence[Cell], stage1_seed: int) -> None:
        """Every method and seed on one stage 1."""
        settings = self.settings
        first = cells[0].stage1
        name = settings.source(first)
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
        arguments = {"checkpoint": str(checkpoint.resolve()), "bn_mode": "train"}
        what = f"{key.row}, {key.column}, on images, seeds {key.stage1_seed}, {key.seed}"
        found = self._trained(what, training, key.seed, self.settings.own_backbone, {"model": {"init_args": arguments}})
        if found is not None:
            self._keep([fitted(key, training, self.settings.origin(key), found)])

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
        # Stage 1 as it is comes with any method; a training-free one costs nothing.
        methods = {c.stage2.preset: c.stage2 for c in wanted.values() if c.stage2 is not None}
        methods = methods or {"cifar100_lt/tau_norm": Training("cifar100_lt/tau_norm")}
        found = train_heads(list(methods.values()), checkpoint, seeds, settings.heads(mode))
        new = []
        for row, cell in {key.row: cell for key, cell in wanted.items()}.items():
            method = "stage 1" if cell.stage2 is None else cell.stage2.preset
            for run in runs_of(found["rows"][method]):
                key = replace(keys[0], row=row, seed=run["seeds"][0])
                if key in wanted:
                    new.append(compared_row(key, cell.stage2, settings.origin(key), found, found["rows"][method], run))
        self._keep(new)

    def _a_comparison(self, key: Key) -> float | None:
        """Seconds that such a comparison took before, if this table has had one."""
        known = [r["comparison_seconds"] for k, r in self._of_here() if k.mode == key.mode and k.views == key.views]
        return max(known, default=None)

    def _of_here(self) -> Iterator[tuple[Key, Record]]:
        """Runs of like hardware: what a processor has taken tells nothing of a GPU."""
        gpu = self.settings.accelerator != "cpu" and torch.cuda.is_available()
        here = environment("cuda" if gpu else "cpu")["hardware"]
        return ((key, record) for key, record in self.there.items() if record["environment"]["hardware"] == here)

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


def _cells_on_a_file(table: Table, cells: list[Cell]) -> list[Cell]:
    """The cells that can start from a checkpoint of the user's."""
    kept = [cell for cell in cells if cell.stage2 is not None or cell.row == STAGE1]
    stages1 = {cell.stage1.folder for cell in kept}
    if len(stages1) != 1:
        why = "has no stage 2" if not stages1 else f"has {len(stages1)} stages 1"
        raise UsageError(f"`checkpoint` cannot go with {table.name}, which {why} here; give `columns` that have one.")
    return kept
