"""What a module's weights had been trained on before it trains them, for its checkpoints to record."""

from collections.abc import Mapping
from typing import Any

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone
from lt_lightning.checkpoints import PUBLISHED, RECORD, UNKNOWN, Entry, origins
from lt_lightning.checkpoints.past import past_of
from lt_lightning.errors import UsageError


def past_when_made(backbone: Backbone) -> list[Entry]:
    """What a backbone has been trained on when it is made: nobody knows what, what a library publishes, or nothing."""
    if backbone.weights_file is not None:
        return [dict(UNKNOWN)]
    return [dict(PUBLISHED)] if backbone.published_transform else []


def past_left(backbone: Backbone, allow_partial: bool) -> list[Entry]:
    """What counts of :func:`past_when_made` once a file is loaded: all of it where the file may fill a part only."""
    return past_when_made(backbone) if allow_partial else []


def loaded_past(checkpoint: Mapping[str, Any]) -> list[Entry]:
    """What a Lightning checkpoint has been trained on, the latest first, as whatever goes on from it has to record."""
    record = checkpoint.get(RECORD, {})
    return origins(record.get("split"), past_of(record))


def past_in(path: str) -> list[Entry]:
    """What the weights in a file have been trained on; unknown if it cannot be read any more."""
    try:
        return checkpoints.read(path).origins
    except UsageError:
        return [dict(UNKNOWN)]
