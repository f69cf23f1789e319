"""Stage-2 rows by ``compare``: many methods and seeds at once on one frozen backbone."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from measuring import QUIET

from lt_lightning.comparing import Options, compare
from lt_lightning.comparing.record import record
from lt_lightning.data import LTDataModule
from lt_lightning.features import ExtractionOptions
from lt_lightning.main import LTCLI
from lt_lightning.modules import LTModule
from reproducing.tables import Changes, Training

Mode = Literal["features", "validation", "paper"]
"""``features``: own settings, last epoch; ``validation``: settings chosen on unseen images; ``paper``: on images,
best epoch and seed on test images."""


@dataclass(frozen=True)
class Heads:
    """How heads are trained on features.

    Attributes:
        root: Data folder; empty for the preset's.
        mode: See :data:`Mode`.
        views: Augmented views of each training image; ``published`` is one for each epoch.
        cache: Folder that keeps features.
        backbone: In place of the preset's: what a file from elsewhere fits.
    """

    root: str
    mode: Mode = "features"
    views: str = "published"
    cache: str = ""
    backbone: Changes | None = None


def train_heads(
    methods: Sequence[Training],
    checkpoint: Path,
    seeds: Sequence[int],
    heads: Heads,
    grid: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """What ``compare`` writes down, for methods that have data and backbone in common.

    Args:
        methods: Stage-2 presets, of which the first gives data and backbone.
        checkpoint: Stage 1.
        seeds: Of stage 2.
        heads: Protocol and files.
        grid: Instead of each method's own.
    """
    changes: dict[str, Any] = {
        "model": {"init_args": {"checkpoint": str(checkpoint)}},
        "data": {"init_args": {"root": heads.root} if heads.root else {}},
        "trainer": QUIET,
    }
    if heads.mode == "features":  # with nothing to choose by, each method runs with its own settings
        changes["data"]["init_args"]["val_from"] = "none"
    made = LTCLI(methods[0].config(changes, heads.backbone or {}), run=False)
    views = "published" if heads.mode == "paper" else heads.views  # on images there are none
    options = Options(
        seeds=seeds,
        views=cast(Any, int(views) if views.isdigit() else views),
        oracle=False,
        features=ExtractionOptions(cache=heads.cache, progress=False),
        protocol="paper" if heads.mode == "paper" else "validation",
    )
    names = [method.preset for method in methods]
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nothing is selected is what was asked for
        backbone, data = cast(LTModule, made.model).backbone, cast(LTDataModule, made.datamodule)
        found = compare(str(checkpoint), backbone, data, names, dict(grid or {}), options)
    return record(found) | {"wall_seconds": time.perf_counter() - started}


def runs_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A method's runs, one for each seed, or a single one where the best of all seeds was taken.

    Args:
        row: Of what :func:`train_heads` returned.

    Returns:
        ``seeds``, ``accuracy``, ``epochs`` and ``seconds`` of each.
    """
    runs = row["runs"]
    if runs:
        (best,) = row["seeds"]
        return [
            {
                "seeds": [run["seed"] for run in runs],
                "accuracy": best["accuracy"],
                "epochs": best["epochs"],
                "seconds": row["seconds"],
            }
        ]
    return [
        {"seeds": [run["seed"]], **{key: run[key] for key in ("accuracy", "epochs", "seconds")}} for run in row["seeds"]
    ]
