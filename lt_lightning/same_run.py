"""Which options make a run the run that it is, and which may change where it goes on or is done again.

Standard library only, so that a report is made without torch.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

RUN = "lt_lightning_run"
"""Where a checkpoint of ``fit`` says of which run it is, by :func:`digest_of`."""

TRAINING = "lt_lightning_training"
"""Where a checkpoint of ``fit`` says how it was trained: ``preset``, ``seed``, and as ``settings`` all options."""

PLACES = (
    "config",
    "ckpt_path",
    "output",
    *(f"trainer.{option}" for option in ("accelerator", "devices", "num_nodes", "strategy")),
    *(f"trainer.{option}" for option in ("default_root_dir", "enable_progress_bar", "logger")),
    *(f"data.init_args.{option}" for option in ("num_workers", "root")),
)
"""Options that may differ within a run: where it starts from, its devices and its folders."""


def digest_of(command: str | None, config: Mapping[str, Any]) -> str:
    """Eight digits that tell runs apart, the same each time that one is started.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``; ``None`` for a stage of a pipeline.
        config: All options of it, as plain values.
    """
    return short_hash([command, without(config, PLACES)])


def without(config: Any, options: Iterable[str]) -> Any:
    """A copy of a configuration that lacks some options.

    Args:
        config: Plain values.
        options: Their names, those that lie deeper with dots between.
    """
    kept = copy.deepcopy(config)
    for option in options:
        *above, last = option.split(".")
        part = kept
        for name in above:
            part = part.get(name) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.pop(last, None)
    return kept


def short_hash(value: Any) -> str:
    """Eight digits of the SHA-256 of plain values, whatever the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]
