"""How a table's cells are run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reproducing.records import RESULTS, Key
from reproducing.stage2 import Heads, Mode
from reproducing.tables import Changes, Training
from reproducing.training import Budget

Protocol = Literal["features", "validation", "images", "paper"]


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
        compile: How backbones are compiled, as the module takes it; empty for the preset's.
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
    compile: str = ""
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
        model = {"model": {"init_args": {"compile": self.compile}}} if self.compile else {}
        return {**data, **model, "trainer": trainer}

    @property
    def own_backbone(self) -> Changes:
        """What makes a preset's network the one that the checkpoint fits."""
        return {} if self.backbone is None else {"model": {"init_args": {"backbone": self.backbone}}}

    def folder(self, training: Training, seed: int) -> Path:
        """Of one training, whatever table it belongs to."""
        return self.runs / training.folder / (f"seed_{seed}" + (self.precision and f"-{self.precision}"))

    def source(self, stage1: Training) -> str:
        """What stage 2 starts from, in a few words."""
        if self.checkpoint is None:
            return stage1.preset
        backbone = self.backbone if isinstance(self.backbone, str) else self.backbone["class_path"]
        return f"{backbone}, {self.checkpoint.name}"

    def origin(self, key: Key) -> dict[str, Any]:
        """The same as a record holds it."""
        return {"name": key.stage1, "seed": key.stage1_seed, "another": self.checkpoint is not None}

    def heads(self, mode: Mode) -> Heads:
        """How heads are trained on features."""
        return Heads(self.root, mode, self.views, str(self.runs / "features"), self.own_backbone)
