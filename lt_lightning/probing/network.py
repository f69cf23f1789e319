"""A backbone with the weights of a file, whatever classifier the file may hold."""

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone
from lt_lightning.checkpoints import UNKNOWN, Entry
from lt_lightning.modules.mismatch import mismatch_error
from lt_lightning.modules.past import past_in, past_left, past_when_made


def load_backbone(path: str, backbone: Backbone, allow_partial: bool = False) -> str:
    """Load a checkpoint's weights into a backbone, and leave everything else of the file aside.

    Args:
        path: The file: a network trained on other classes, or without any.
        backbone: Gets the weights.
        allow_partial: Whether the file may fill a part only.

    Returns:
        What matched and what did not, in one sentence.

    Raises:
        UsageError: If the file is none, or anything but the whole backbone matches, with the backbones that would.
    """
    source = checkpoints.read(path)
    found = checkpoints.match(source, backbone)
    extra = checkpoints.deeper_layers(found)
    if (found.missing or found.misshapen or extra) and not (allow_partial and found.tensors):
        raise mismatch_error(source, found, extra, backbone, None, group="")
    checkpoints.load(found, backbone)  # unless a part is enough, only counts of batches can be missing
    return checkpoints.report(found, None, extra)


def past_of_network(backbone: Backbone, path: str | None, allow_partial: bool = False) -> list[Entry]:
    """What a network's weights have been trained on, for the checkpoint of a classifier on it to record.

    Args:
        backbone: With its weights.
        path: The file that they come from, if they do.
        allow_partial: Whether that may have filled a part only, the rest as the backbone was made.

    Returns:
        Without a file, of a backbone of one's own that is said to begin with no published weights, that nobody knows:
        it has read its weights itself.
    """
    if path is not None:
        return [*past_in(path), *past_left(backbone, allow_partial)]
    return past_when_made(backbone) or ([dict(UNKNOWN)] if backbone.state_dict() else [])
