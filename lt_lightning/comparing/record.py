"""What ``results.json`` says of a comparison."""

from dataclasses import asdict
from math import isnan
from statistics import mean, stdev
from typing import Any

import torch

from lt_lightning.comparing.grid import default_grid
from lt_lightning.comparing.outcome import Comparison, Row
from lt_lightning.devices.choice import device_of
from lt_lightning.functional import GROUPS, group_of, prior_accuracy, shifted_priors
from lt_lightning.modules.origin import is_plain
from lt_lightning.results import provenance

_RESAMPLED = (
    "images within classes, those of one image from each other, and one more image on which the two differ; of "
    "validation images for val_to_winner"
)


def record(found: Comparison) -> dict[str, Any]:
    """Plain values, for :func:`write_json`."""
    data, options = found.data, found.options
    priors = under_priors(found)
    transforms = {"shown": data.describe_transform(options.views != 1), "test": data.describe_transform(False)}
    return {
        **provenance(device_of(options.features.device, apple=False)),
        "tf32": options.protocol == "paper",
        "protocol": protocol(found),
        "checkpoint": {
            "path": found.source.path,
            "sha256": found.source.sha256,
            "class_counts": found.source.class_counts,
            "split": found.source.split,
            "past": found.source.past,
        },
        "backbone": type(found.source.backbone).__name__,
        "data": data.describe_split(),
        "transform": {name: how for name, how in transforms.items() if is_plain(how)},
        "features": {name: features.record for name, features in found.features.items()},
        "class_counts": found.trained_on.class_counts,
        "class_names": data.class_names,
        "group_thresholds": list(data.group_thresholds),
        "group_sizes": group_sizes(found),
        "seeds": list(options.seeds),
        "grid": found.grid or (default_grid() if found.selection.allowed else "own settings"),
        "bootstrap": {"draws": options.draws, "confidence": 0.95, "resampled": _RESAMPLED},
        "winner": None if found.winner is None else found.winner.name,
        "warnings": found.warnings,
        "seconds": found.seconds,
        "predictions": "predictions.npz",
        "rows": {row.name: _row(row, priors.get(row.name), found.selection.on_test) for row in found.rows},
    }


def group_sizes(found: Comparison) -> dict[str, int]:
    """Classes of each group that have test images, of which alone an accuracy is the mean."""
    counts, thresholds = found.trained_on.class_counts, found.trained_on.group_thresholds
    tested = torch.bincount(found.test_targets, minlength=len(counts)) > 0
    return dict(zip(GROUPS, (group_of(counts, thresholds) & tested).sum(dim=1).tolist(), strict=True))


def protocol(found: Comparison) -> dict[str, Any]:
    """What figures depend on besides the method: those that differ in one of these values compare with no other."""
    chosen = {"selection": found.selection.label, "selection_reason": found.selection.reason}
    if found.options.protocol == "paper":
        seeds = len(found.options.seeds)
        return {
            "name": "paper",
            **chosen,
            "views": "images",
            "bn_mode": "train",
            "test_time_averaging": "flip",
            "aggregation": f"best of {seeds} seed{'s' if seeds > 1 else ''}",
        }
    return {
        "name": "validation",
        **chosen,
        "views": found.features["shown"].record["views"],
        "bn_mode": "eval",
        "test_time_averaging": "none",
        "aggregation": "mean over seeds of the last epoch, each the mean over classes",
    }


def under_priors(found: Comparison) -> dict[str, dict[str, float]]:
    """Accuracy of each row under forward, uniform and backward test distributions, mean over seeds."""
    distributions = shifted_priors(found.trained_on.class_counts)
    values = {}
    for row in found.rows:
        if row.tests:
            classes = torch.tensor([test.figures["per_class"]["accuracy"] for test in row.tests], dtype=torch.float64)
            values[row.name] = {
                name: float(prior_accuracy(classes, prior).mean()) for name, prior in distributions.items()
            }
    return values


def _row(row: Row, priors: dict[str, float] | None, best_on_test: bool) -> dict[str, Any]:
    accuracy = row.tests[0].figures["accuracy"] if row.tests else {}
    return {
        "selection": row.selection,
        "settings": row.point.method.plain if row.point else None,
        "chosen": row.point.values if row.point else None,
        "chosen_at_edge": row.at_edge,
        "diverged": not row.heads,
        "validation": [
            {"point": tried.values, "seeds": tried.scores, "mean": tried.mean, "diverged": tried.mean != tried.mean}
            for tried in row.tried
        ],
        # Another name, so that no reader takes what was chosen on test images for a mean.
        "best_on_test" if best_on_test else "mean": {name: mean(row.values(name)) for name in accuracy},
        "standard_deviation": {name: _deviation(row.values(name)) for name in accuracy} if len(row.tests) > 1 else None,
        "to_stage1": row.to_stage1,
        "to_winner": row.to_winner,
        "val_to_winner": row.val_to_winner,
        "test_priors": priors,
        "seconds": row.seconds,
        "runs": [asdict(run) for run in row.runs],
        "seeds": [
            {"seed": head.seed, "epochs": head.epochs, "seconds": head.seconds, **test.figures}
            for head, test in zip(row.heads, row.tests, strict=True)
        ],
    }


def _deviation(values: list[float]) -> float:
    """Over seeds; NaN for a group without classes, of which `stdev` makes an error in some versions of Python."""
    return float("nan") if isnan(values[0]) else stdev(values)
