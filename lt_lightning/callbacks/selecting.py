"""Whether validation images have had a part in which epoch's weights a run ended with."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LAST_EPOCH = "none: the weights of the last epoch"
"""Where nothing was selected."""

_MONITOR = re.compile(r"'monitor': '(val/[^']*)'")
"""A figure of validation images in the name under which Lightning keeps a callback's state."""


def selection_of(states: Mapping[str, Any], file: str | None = None) -> str:
    """What a results file says of the choice of weights: ``none`` or ``val``, a colon, and by what.

    Args:
        states: Of a trainer's callbacks, by their ``state_key``, as a checkpoint has them.
        file: The checkpoint that the weights are from; ``None`` for those that training has left.
    """
    for key, state in states.items():
        found = _MONITOR.search(key)
        if found is None or not isinstance(state, Mapping):
            continue
        best = state.get("best_model_path")
        if file is not None and best and Path(str(best)).name == Path(file).name:
            return f"val: the epoch that ModelCheckpoint kept by {found[1]}"
        if state.get("stopped_epoch"):
            return f"val: the epoch that EarlyStopping ended at by {found[1]}"
    return LAST_EPOCH
