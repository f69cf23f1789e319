"""``lt-lightning fit`` with a clock in it, for benchmarks: what a user would run, cut to some steps of one epoch."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lt_lightning import presets
from lt_lightning.data import CIFAR100LT
from lt_lightning.data.in_memory import InMemoryLT, SetFacts
from lt_lightning.data.sources import ImageSource, SourceSplit
from lt_lightning.main import LTCLI

PRESETS = {"ResNet32": "cifar100_lt/stage1/ce_resnet32", "ResNet34": "cifar100_lt/stage1/ce"}
"""The preset of a network; any other backbone takes ResNet-32's place."""


class Noise(ImageSource):
    """Random pixels, as many as CIFAR-100 has, made when asked for."""

    def labels(self, split: SourceSplit) -> Tensor:
        """500 training and 100 test images a class."""
        return torch.arange(100).repeat_interleave(500 if split == "train" else 100)

    def images(self, split: SourceSplit, indices: Tensor) -> Tensor:  # noqa: ARG002
        """``(n, 3, 32, 32)``, uint8."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(256, (len(indices), 3, 32, 32), generator=generator, dtype=torch.uint8)


class MadeUpLT(InMemoryLT):
    """CIFAR100-LT's sizes without its files: speed does not depend on what the images show."""

    @property
    def facts(self) -> SetFacts:
        """CIFAR-100's."""
        known = CIFAR100LT().facts
        return SetFacts("made up", known.class_names, known.pool_counts, known.mean, known.std)

    def open_source(self) -> Noise:
        """Random pixels."""
        return Noise()


def now() -> float:
    """Seconds, when everything asked of a GPU so far is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock(Callback):
    """Times a stretch of warm steps and the parts of an epoch around them; waits for the GPU at its ends alone.

    :attr:`found` holds seconds: ``step`` (mean of the stretch, loading included), ``first_step`` (compilation
    included), ``evaluation`` (of one validation image, compilation left out) and ``epoch_end`` (logs and checkpoint,
    validation left out).

    Args:
        warm: Steps before the stretch; the epoch must have at least one more after it.
        steps: Steps of the stretch.
        output: JSON file that the first process leaves at the end, if any.
    """

    def __init__(self, warm: int, steps: int, output: str = "") -> None:
        self.warm, self.steps, self.output = warm, steps, output
        self.found: dict[str, float] = {}
        self._began = self._stretch = self._last = self._validation = 0.0
        self._validated = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Start or stop."""
        if batch_idx == 0:
            self._began = now()
        if batch_idx == self.warm:
            self._stretch = now()
        if batch_idx == self.warm + self.steps:
            self.found["step"] = (now() - self._stretch) / self.steps

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Note the first and the last step."""
        if batch_idx == 0:
            self.found["first_step"] = now() - self._began
        if trainer.is_last_batch:
            self._last = now()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start; what was validated before training has compiled what this runs."""
        self._validation, self._validated = now(), 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Count."""
        self._validated += len(batch[1])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop."""
        self._validation = now() - self._validation
        self.found["evaluation"] = self._validation / self._validated

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Close."""
        self.found["epoch_end"] = now() - self._last - self._validation
        if self.output and trainer.is_global_zero:
            Path(self.output).write_text(json.dumps(self.found))


def configuration(network: str, root: str, preset: str = "") -> dict[str, Any]:
    """What a user would run for a network on CIFAR100-LT.

    Args:
        network: Name of a backbone; ``ResNet34`` is the one with a stem for small images.
        root: Folder with CIFAR-100; without one images are made up.
        preset: Instead of the network's own.
    """
    config: dict[str, Any] = presets.load(preset or PRESETS.get(network, PRESETS["ResNet32"]))
    if not preset and network not in PRESETS:
        config["model"]["init_args"]["backbone"] = network
    options = config["data"].setdefault("init_args", {})
    options.pop("root", None)
    if root:
        options["root"] = root
    else:
        config["data"]["class_path"] = f"{__name__}.MadeUpLT"
    return config


def cut(
    config: dict[str, Any], warm: int, steps: int, evaluated: int, trainer: dict[str, Any], output: str = ""
) -> dict[str, Any]:
    """The same run, cut to ``warm + steps + 1`` steps and ``evaluated`` validation images, with a clock."""
    clock = {
        "class_path": f"{__name__}.Clock",
        "init_args": {"warm": warm, "steps": steps, "output": output},
    }
    limits = {
        "max_epochs": 1,
        "limit_train_batches": warm + steps + 1,
        "limit_val_batches": 1,
        "check_val_every_n_epoch": 1,
        "num_sanity_val_steps": 1,
        "callbacks": [*config["trainer"].get("callbacks", []), clock],
    }
    made = {**config, "trainer": {**config["trainer"], **limits, **trainer}}
    made["data"] = {**config["data"], "init_args": {**config["data"]["init_args"], "eval_batch_size": evaluated}}
    return made


@contextlib.contextmanager
def unseen_terminal() -> Iterator[None]:
    """Draw the progress bar as on a terminal, into nothing."""
    before = os.environ.get("FORCE_COLOR")
    os.environ["FORCE_COLOR"] = "1"
    try:
        with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
            yield
    finally:
        if before is None:
            del os.environ["FORCE_COLOR"]
        else:
            os.environ["FORCE_COLOR"] = before


def fit(config: dict[str, Any], folder: Path) -> dict[str, float]:
    """Run ``lt-lightning fit`` here, with its files in ``folder``; what the clock found."""
    path = write(config, folder)
    with unseen_terminal():
        cli = LTCLI(["fit", "-c", str(path)])
    return next(held.found for held in cli.trainer.callbacks if isinstance(held, Clock))  # type: ignore[attr-defined]


def write(config: dict[str, Any], folder: Path) -> Path:
    """The configuration as a file in ``folder``, where the run's own files go too."""
    path = folder / "fit.yaml"
    config = {**config, "trainer": {**config["trainer"], "default_root_dir": str(folder)}}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
