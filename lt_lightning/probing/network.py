"""A backbone with the weights of a file, whatever classifier the file may hold."""

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone
from lt_lightning.modules.mismatch import mismatch_error


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
    backbone.load_state_dict(found.tensors, strict=False)  # unless a part is enough, only counts of batches can miss
    return checkpoints.report(found, None, extra)
