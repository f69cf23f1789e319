"""Every stage-2 preset on one checkpoint's features: the table, and the seconds of each method.

    python benchmarks/stage2_methods.py --checkpoint model.pth.tar --root cifar100 --backbone ResNet32

The frozen backbone runs once over the training and test images, without augmentation (``views: 1``) and with its
batch-normalisation statistics as they are; each preset then trains its head on those features with its own settings.
A preset through ``lt-lightning fit`` shows new crops every epoch instead: another protocol, so keep the columns apart.
Nothing is selected: figures are of the last epoch of each preset's own settings.
"""

import argparse
from pathlib import Path
from typing import cast

from lt_lightning import presets
from lt_lightning.comparing import Options, compare, leaderboard
from lt_lightning.data import LTDataModule
from lt_lightning.features import ExtractionOptions
from lt_lightning.main import LTCLI
from lt_lightning.modules import RetrainModule
from lt_lightning.results import environment, write_json
from lt_lightning.tables import show

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
    config["data"]["init_args"] |= {"root": arguments.root, "val_from": "none"}  # so that nothing is selected
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    config["trainer"] = {**config.get("trainer", {"max_epochs": 1}), **quiet}
    return LTCLI(config, run=False)


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

    made = make("linear", 0, arguments)
    backbone, data = cast(RetrainModule, made.model).backbone, cast(LTDataModule, made.datamodule)
    options = Options(
        seeds=range(arguments.seeds),
        views=1,
        oracle=False,
        features=ExtractionOptions(cache=arguments.cache, channels_last=False, batch_size=256, device="cpu"),
    )
    found = compare(arguments.checkpoint, backbone, data, METHODS, {}, options)
    methods = {
        row.name.replace(" ", ""): [
            {"seed": trained.seed, "seconds": trained.seconds, **test.figures["accuracy"]}
            for trained, test in zip(row.heads, row.tests, strict=True)
        ]
        for row in found.rows
    }
    record = {
        "environment": environment(),
        "protocol": {"views": 1, "bn_mode": "eval", "selection": "none: last epoch", "test_time_averaging": "none"},
        "checkpoint": Path(arguments.checkpoint).name,
        "backbone": arguments.backbone,
        "data": data.describe_split(),
        "extraction_seconds": found.seconds["features"],
        "methods": methods,
    }
    write_json(arguments.output, record)
    show(leaderboard(found))
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
