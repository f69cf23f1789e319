"""Records of what has been run."""

from typing import Any

from reproducing.records import PROTOCOL, Key, Record, key_fields
from reproducing.tables import Training
from reproducing.training import Finished


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


def compared_row(
    key: Key,
    training: Training | None,
    stage1: dict[str, Any],
    found: dict[str, Any],
    row: dict[str, Any],
    run: dict[str, Any],
) -> Record:
    """A record of one run of a comparison.

    Args:
        key: Its key.
        training: Stage 2; ``None`` for stage 1 as it is.
        stage1: What it started from.
        found: What :func:`reproducing.stage2.train_heads` returned.
        row: The method's, in it.
        run: One of the row's, as :func:`reproducing.stage2.runs_of` gives them.
    """
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
