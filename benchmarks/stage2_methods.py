"""Every stage-2 preset on one checkpoint's features: the table, and the seconds of each method.

    python benchmarks/stage2_methods.py --checkpoint model.pth.tar --root cifar100 --backbone ResNet32

The frozen backbone runs once over the training and test images, without augmentation (``views: 1``) and with its
batch-normalisation statistics as they are; each preset then trains its head on those features with its own settings.
A preset through ``lt-lightning fit`` shows new crops every epoch instead: another protocol, so keep the columns apart.
Nothing is selected: figures are of the last epoch of each preset's own settings.
"""

import argparse
import json
import time
from pathlib import Path
from typing import cast

from lt_lightning import presets
from lt_lightning.data import LTDataModule
from lt_lightning.data.base import Split
from lt_lightning.features import ExtractionOptions, Features, FeaturesLT, extract
from lt_lightning.main import LTCLI
from lt_lightning.modules import RetrainModule, on_features
from lt_lightning.results import environment, write_json
from lt_lightning.tables import accuracy_table, show

METHODS = (
    "linear",
    "crt",
    "re_sampling",
    "lws",
    "tau_norm",
    "max_norm",
    "logit_adjustment",
    "balanced_softmax",
    "class_balanced_bce",
    "lort",
)


def make(method: str, seed: int, arguments: argparse.Namespace) -> LTCLI:
    """A preset's model, data and trainer, with another backbone and data folder."""
    config = presets.load(f"cifar100_lt/{method}")
    config["seed_everything"] = seed
    config["model"]["init_args"] |= {"backbone": arguments.backbone, "checkpoint": arguments.checkpoint}
    config["data"]["init_args"]["root"] = arguments.root
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    config["trainer"] = {**config.get("trainer", {"max_epochs": 1}), **quiet}
    return LTCLI(config, run=False)


def extracted(made: LTCLI, cache: str) -> dict[Split, Features]:
    """Features of every training and test image, once, without augmentation."""
    data = cast(LTDataModule, made.datamodule)
    backbone = on_features(cast(RetrainModule, made.model))
    options = ExtractionOptions(cache=cache, channels_last=False, batch_size=256, device="cpu", progress=False)
    names: tuple[Split, ...] = ("train", "test")
    return {name: extract(backbone, data, name, options=options) for name in names}


def main() -> None:
    """Extract once, then train and test each method with each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--backbone", default="ResNet32")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cache", default="", help="folder that keeps features for the next run")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/stage2_methods.json"))
    arguments = parser.parse_args()

    started = time.perf_counter()
    first = make("tau_norm", 0, arguments)
    features = extracted(first, arguments.cache)
    extraction = time.perf_counter() - started
    source = cast(LTDataModule, first.datamodule)
    record = {
        "environment": environment(),
        "protocol": {"views": 1, "bn_mode": "eval", "selection": "none: last epoch", "test_time_averaging": "none"},
        "checkpoint": Path(arguments.checkpoint).name,
        "backbone": arguments.backbone,
        "data": source.describe_split(),
        "extraction_seconds": extraction,
        "methods": {},
    }
    shown = []
    for method in ("stage1", *METHODS):
        runs = []
        for seed in range(arguments.seeds):
            made = make("linear" if method == "stage1" else method, seed, arguments)
            model = cast(RetrainModule, made.model)
            on_features(model)
            data = FeaturesLT(cast(LTDataModule, made.datamodule), features)
            began = time.perf_counter()
            if model.trains and method != "stage1":
                made.trainer.fit(model, datamodule=data)
            seconds = time.perf_counter() - began
            made.trainer.test(model, datamodule=data, verbose=False)
            runs.append({"seed": seed, "seconds": seconds, **model.evaluation["test"]["accuracy"]})
            if not model.trains:
                break
        record["methods"][method] = runs
        mean = {key: sum(run[key] for run in runs) / len(runs) for key in runs[0] if key != "seed"}
        shown.append((f"{method} ({mean['seconds']:.1f} s)", mean))
        sizes = model.evaluation["test"]["group_sizes"]
    write_json(arguments.output, record)
    title = f"test accuracy, mean of {arguments.seeds} seeds; features extracted in {extraction:.1f} s"
    show(accuracy_table(title, shown, sizes, source.group_thresholds))
    print(json.dumps(record["environment"]), f"written to {arguments.output}", sep="\n")


if __name__ == "__main__":
    main()
