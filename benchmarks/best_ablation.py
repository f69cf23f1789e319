"""What each part of `cifar100_lt/best` does: stage 1 with and without it, then stage 2 chosen on validation images.

    python benchmarks/best_ablation.py --root cifar100 --seeds 3 --budget 240

A variant is `baseline`, which is `cifar100_lt/stage1/ce` (LORT's), or parts joined by `+`: `recipe` (optimiser, warm-up
and batch size of `cifar100_lt/stage1/best`), `balanced_softmax`, `augmentation` (AutoAugment and Cutout), `mixup`,
`cutmix`, `ema`. The last default one is, on a ResNet-32, the preset `cifar100_lt/stage1/best`, the one before it the
same without the extra augmentation.

On each stage 1 `--methods` are compared as `lt-lightning compare` does, settings chosen on validation images that
neither stage has seen: on plain crops and mirror images, and, where stage 1 was shown more, on what it was shown. The
best of all these on the validation images is the variant's, and ★ marks the variant that is best on them; test images
choose nothing. Nothing is averaged over mirror images.

Finished runs are kept in `--output`, unfinished trainings in `--runs`: a script that is started again goes on.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, cast

from measuring import QUIET
from reproducing.training import Budget, train
from rich.table import Table

from lt_lightning import presets
from lt_lightning.comparing import Options, compare
from lt_lightning.comparing.record import record
from lt_lightning.data import LTDataModule
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions
from lt_lightning.main import LTCLI
from lt_lightning.modules import LTModule
from lt_lightning.results import write_json
from lt_lightning.tables import show

BASELINE = "baseline"
VARIANTS = (
    BASELINE,
    "recipe",
    "recipe+augmentation",
    "recipe+balanced_softmax",
    "recipe+balanced_softmax+augmentation",
)
METHODS = "lort,crt,lws,tau_norm,ncm,logit_adjustment,balanced_softmax,mislas,disalign"
GROUPS = ("all", "many", "medium", "few")
PROTOCOL = {
    "selection": "val: method, its settings and stage 2's images",
    "bn_mode": "eval",
    "test_time_averaging": "none",
    "epoch": "last, of both stages",
}


def parts() -> dict[str, dict[str, Any]]:
    """What each part changes of the baseline, from the files that the preset is made of."""
    best = presets.load("cifar100_lt/stage1/best")
    arguments, options = best["model"]["init_args"], best["data"]["init_args"]
    optimisation = {key: arguments[key] for key in ("optimizer", "lr_scheduler")}
    averaging = {"class_path": "WeightEMA", "init_args": {"decay": 0.999}}  # remembers about 1,000 steps
    return {
        "recipe": {
            "trainer": best["trainer"],
            "model": {"init_args": optimisation},
            "data": {"init_args": {"batch_size": options["batch_size"]}},
        },
        "balanced_softmax": {"model": {"init_args": {"loss": arguments["loss"]}}},
        "augmentation": {"data": {"init_args": {"augmentation": options["augmentation"]}}},
        "mixup": {"model": {"init_args": {"mixing": {"class_path": "Mixup", "init_args": {"alpha": 1.0}}}}},
        "cutmix": {"model": {"init_args": {"mixing": {"class_path": "CutMix", "init_args": {"alpha": 1.0}}}}},
        "ema": {"trainer": {"callbacks+": [averaging]}},
    }


def stage1_config(variant: str) -> dict[str, Any]:
    """Configuration of a variant's stage 1.

    Raises:
        UsageError: If it names something else than parts, or two ways of mixing.
    """
    config: dict[str, Any] = presets.load("cifar100_lt/stage1/ce")
    names = [] if variant == BASELINE else variant.split("+")
    known = parts()
    for name in names:
        if name not in known:
            raise UsageError(
                f"`--variants` {variant!r} has no part {name!r}; there are {', '.join(known)}, to be joined by +, and "
                f"{BASELINE}."
            )
        config = presets.merge(config, known[name])
    if {"mixup", "cutmix"} <= set(names):
        raise UsageError(f"`--variants` {variant!r} mixes images in two ways; give one of mixup and cutmix.")
    return config


def adapted(config: dict[str, Any], seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The same configuration with seed, data folder and what the command line changes."""
    trainer = {"enable_progress_bar": False, "accelerator": arguments.accelerator}
    trainer |= {"max_epochs": arguments.epochs} if arguments.epochs else {}
    trainer |= {"precision": arguments.precision} if arguments.precision else {}
    changes: dict[str, Any] = {"seed_everything": seed, "trainer": trainer}
    changes["data"] = {"init_args": {"root": arguments.root, "imbalance_ratio": arguments.imbalance_ratio}}
    model: dict[str, Any] = {"backbone": {"class_path": arguments.network}} if arguments.network else {}
    model |= {"compile": arguments.compile} if arguments.compile else {}
    changes |= {"model": {"init_args": model}} if model else {}
    over = presets.load(arguments.over) if arguments.over else {}
    return cast(dict[str, Any], presets.merge(presets.merge(config, changes), over))


def stage2(
    config: dict[str, Any], checkpoint: Path, shown: bool, seed: int, folder: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Every method on one checkpoint's features; a call that is ended loses the trainings, and no features.

    Args:
        config: Of stage 1.
        checkpoint: Of its last epoch.
        shown: Whether training images are augmented as in stage 1; else they are cropped and mirrored alone.
        seed: Of stage 1; stage 2's seeds follow from it, so that no two runs share one.
        folder: In which the comparison is kept once it has ended, and features until then.
        arguments: The command line.
    """
    done, settings = folder / "compared.json", settings_of(arguments)
    there = json.loads(done.read_text()) if done.is_file() else {}
    if there.get("settings") == settings:
        return cast(dict[str, Any], there["compared"])
    options = {name: value for name, value in config["data"]["init_args"].items() if shown or name != "augmentation"}
    data = {**config["data"], "init_args": options}
    made = LTCLI({"model": config["model"], "data": data, "trainer": QUIET}, run=False)
    seeds = range(seed * arguments.stage2_seeds, (seed + 1) * arguments.stage2_seeds)
    views = int(arguments.views) if arguments.views.isdecimal() else arguments.views
    found = compare(
        str(checkpoint),
        cast(LTModule, made.model).backbone,
        cast(LTDataModule, made.datamodule),
        arguments.methods,
        options=Options(
            seeds=list(seeds),
            views=views,
            oracle=False,
            features=ExtractionOptions(cache=str(folder / "features"), progress=False, device=arguments.device),
        ),
    )
    everything = record(found)
    compared = {
        "protocol": everything["protocol"],
        "seconds": everything["seconds"],
        "rows": {
            row.name: {
                "validation": row.score,
                "chosen": None if row.point is None else row.point.values,
                "test": everything["rows"][row.name]["mean"],
            }
            for row in found.rows
            if row.tests
        },
    }
    write_json(done, {"settings": settings, "compared": compared})
    shutil.rmtree(folder / "features")
    return compared


def run(variant: str, seed: int, budget: Budget, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Both stages of a variant with a seed; ``None`` if the budget has stopped one."""
    config = adapted(stage1_config(variant), seed, arguments)
    folder = arguments.runs / variant.replace("+", "_") / f"seed{seed}"
    trained = train(config, folder, budget)
    if trained is None or trained.checkpoint is None:
        return None
    kinds = {"plain": False, **({"as stage 1": True} if "augmentation" in variant.split("+") else {})}
    compared = {}
    for images, shown in kinds.items():
        if not budget.fits(None):
            return None
        here = folder / images.replace(" ", "_")
        compared[images] = stage2(config, trained.checkpoint, shown, seed, here, arguments)
    tried = [
        {"images": images, "method": method, **row}
        for images, found in compared.items()
        for method, row in found["rows"].items()
        if row["validation"] == row["validation"]
    ]
    stage1 = next(row for row in tried if row["method"] == "stage 1")
    return {
        "variant": variant,
        "seed": seed,
        "epochs": trained.results["epochs"],
        "environment": trained.results["environment"],
        "stage1": {"validation": stage1["validation"], "test": stage1["test"], "seconds": trained.seconds},
        "stage2": compared,
        "best": max(tried, key=lambda row: row["validation"]),
    }


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What runs of one file must have in common."""
    names = ("imbalance_ratio", "network", "epochs", "precision", "methods", "views", "stage2_seeds")
    over = presets.load(arguments.over) if arguments.over else {}
    return {name: getattr(arguments, name) for name in names} | {"over": over}


def read(output: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Finished runs.

    Raises:
        UsageError: If the file holds runs with other settings.
    """
    if not output.is_file():
        return []
    found = json.loads(output.read_text())
    other = sorted(name for name, value in settings.items() if found["settings"].get(name) != value)
    if other:
        raise UsageError(
            f"`--output` {str(output)!r} holds runs with another value of {', '.join(other)}; give another file, and "
            f"another folder by `--runs`."
        )
    return cast(list[dict[str, Any]], found["runs"])


def table(runs: Sequence[dict[str, Any]], settings: dict[str, Any]) -> Table:
    """A row for each variant: stage 1, what was chosen for stage 2, and its test accuracy."""
    title = f"CIFAR100-LT at {settings['imbalance_ratio']:g}: accuracy in %, mean ± sd over seeds; ★ best on validation"
    shown = Table(title=title, title_justify="left")
    for heading in ("stage 1", "seeds", "stage 1: all", "chosen stage 2", "val", *GROUPS):
        shown.add_column(heading, justify="left" if heading in ("stage 1", "chosen stage 2") else "right")
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in runs:
        groups.setdefault(entry["variant"], []).append(entry)
    scores = {variant: mean(entry["best"]["validation"] for entry in found) for variant, found in groups.items()}
    for variant, found in groups.items():
        chosen = {f"{entry['best']['method']}, {entry['best']['images']}": None for entry in found}
        shown.add_row(
            variant + (" ★" if scores[variant] == max(scores.values()) else ""),
            str(len(found)),
            _spread([entry["stage1"]["test"]["all"] for entry in found]),
            "; ".join(chosen),
            _spread([entry["best"]["validation"] for entry in found]),
            *(_spread([entry["best"]["test"][group] for entry in found]) for group in GROUPS),
        )
    return shown


def _spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation in per cent; a dash for a group without classes."""
    there = [value for value in values if value is not None and value == value]
    if len(there) < len(values):
        return "–"
    text = f"{100 * mean(there):.1f}"
    return text if len(values) < 2 else f"{text} ± {100 * stdev(there):.1f}"


def main(argv: Sequence[str]) -> int:
    """Run what is missing, one seed of every variant before the next, and show what there is.

    Returns:
        0 if everything asked for is there; 3 if the budget has left something.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder of CIFAR-100")
    parser.add_argument("--imbalance-ratio", type=float, default=100.0)
    parser.add_argument("--network", default="", help="backbone, such as ResNet20; by default the preset's ResNet-34")
    parser.add_argument("--epochs", type=int, default=0, help="of stage 1; by default the preset's 200")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="separated by commas")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", default=METHODS, help="of stage 2")
    parser.add_argument("--stage2-seeds", type=int, default=3)
    parser.add_argument("--views", default="published", help="of stage 2: a number, or one for each epoch")
    parser.add_argument("--budget", type=float, help="minutes; a training is stopped after the last epoch that fits")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--device", default="auto", help="of stage 2's features")
    parser.add_argument("--precision", default="", help="of stage 1, such as bf16-mixed")
    parser.add_argument("--compile", default="", help="of stage 1, such as reduce-overhead, which is fastest on a GPU")
    parser.add_argument("--over", default="", help="YAML file that lies over every stage 1")
    parser.add_argument("--runs", type=Path, default=Path("runs/best_ablation"), help="folder of trainings")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/best_ablation.json"))
    arguments = parser.parse_args(argv)

    variants = arguments.variants.split(",")
    for variant in variants:
        stage1_config(variant)  # a misspelt one costs no training of the others
    settings, budget = settings_of(arguments), Budget(arguments.budget)
    runs = read(arguments.output, settings)
    there = {(entry["variant"], entry["seed"]) for entry in runs}
    wanted = [(variant, seed) for seed in range(arguments.seeds) for variant in variants]
    left = [work for work in wanted if work not in there]
    while left and budget.fits(None):
        print(f"{left[0][0]}, seed {left[0][1]}: {len(left)} of {len(wanted)} left", flush=True)
        found = run(*left[0], budget, arguments)
        if found is None:
            break
        runs.append(found)
        left.pop(0)
        held = {"protocol": PROTOCOL, "settings": settings, "runs": runs}
        write_json(arguments.output, held)
    if runs:
        show(table(runs, settings))
        print(f"written to {arguments.output}")
    if left:
        print(f"unfinished: {', '.join(f'{variant} (seed {seed})' for variant, seed in left)}; start again to go on")
    return 3 if left else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UsageError as error:
        sys.exit(str(error))
