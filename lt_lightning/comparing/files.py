"""The folder of a comparison: all of its results, or none."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from lt_lightning.comparing.methods import name_in_files
from lt_lightning.comparing.outcome import Comparison
from lt_lightning.comparing.record import record
from lt_lightning.comparing.saving import keep_runs, keep_winner
from lt_lightning.comparing.settings import Plain
from lt_lightning.drafts import UnwritableError, draft_of, write_text
from lt_lightning.errors import UsageError
from lt_lightning.results import whole_or_gone, write_json


def write_all(
    found: Comparison, output: Path, config: str, backbone: str | Plain, with_runs: bool = False
) -> Iterator[str]:
    """Write a comparison into a new ``version_K``: its configuration and results, then its checkpoints.

    Args:
        found: What :func:`compare` returned.
        output: Folder of the new one; made if need be.
        config: Text of ``config.yaml``.
        backbone: Plain settings that make such a backbone.
        with_runs: Whether each method and seed gets a checkpoint.

    Yields:
        What was written, a sentence at a time.

    Raises:
        UsageError: If there is no room or no right to write. Results that are not whole go, and their folder with them;
            whole ones stay when a checkpoint has no room.
    """
    with whole_or_gone(output) as folder:
        write_text(folder / "config.yaml", config)
        _write_predictions(found, folder / "predictions.npz")
        write_json(folder / "results.json", record(found))
    yield f"written to {folder}/results.json"
    try:
        if found.winner is not None:
            yield from keep_winner(found, folder, backbone)
        elif (why := found.why_no_winner) is not None:
            advice = "" if with_runs else "; `--keep_runs true` writes one of each method"
            yield f"no better checkpoint was written, because {why}{advice}"
        if with_runs:
            keep_runs(found, folder, backbone)
            yield f"checkpoints of all methods and seeds written to {folder}/runs"
    except UnwritableError as error:
        raise UsageError(f"{str(error).rstrip('.')}; the results are in {folder} all the same.") from error


def _write_predictions(found: Comparison, path: Path) -> None:
    """Class and confidence of each test image, ``(seeds, N)`` under ``<row>.classes`` and ``<row>.confidence``."""
    arrays = {"targets": found.test_targets.numpy().astype(np.int32)}
    for row in found.rows:
        if row.tests:
            name = name_in_files(row.name)
            arrays[f"{name}.classes"] = torch.stack([test.classes for test in row.tests]).numpy().astype(np.int32)
            arrays[f"{name}.confidence"] = torch.stack([test.confidence for test in row.tests]).numpy()
    with draft_of(path) as draft:
        with draft.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub takes them for an option
        draft.replace(path)
