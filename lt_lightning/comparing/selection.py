"""Whether validation images are unseen, and which setting they choose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_APART = ("source", "unused")
"""Values of ``val_from`` whose images no training on the same source has shown."""


@dataclass(frozen=True)
class Selection:
    """Whether settings may be selected, and why.

    Attributes:
        allowed: Whether there are validation images that neither stage has trained on.
        reason: One sentence for the record; where nothing may be selected, with what to provide.
        on_test: Whether epochs and seeds are those that are best on test images.
    """

    allowed: bool
    reason: str
    on_test: bool = False

    @property
    def label(self) -> str:
        """The protocol column: ``val``, ``unselected`` or ``best_on_test``."""
        return "best_on_test" if self.on_test else "val" if self.allowed else "unselected"


def may_select(
    has_validation: bool, here: Mapping[str, Any], checkpoint: Mapping[str, Any], asserted: bool
) -> Selection:
    """Whether validation images are unseen by both stages, as a matter of record.

    ========================  ===================================================================================
    validation images         are unseen
    ========================  ===================================================================================
    the source's own split    unless the user knows better
    unused pool images        unless the checkpoint records other training images
    held out of the pool      if the checkpoint records these training images
    held out of training      if the checkpoint records these training images
    of any other kind         if the checkpoint records these training images
    any                       if the user says so
    ========================  ===================================================================================

    Args:
        has_validation: Whether there are any.
        here: The data's ``describe_split()``, its training images loaded.
        checkpoint: What the checkpoint records of the data that it was trained on; empty for a foreign one.
        asserted: Whether the user says that stage 1 has not seen them.
    """
    val_from = str(here.get("val_from", "a split of one's own"))
    asked = f'`data.val_from` "{val_from}"' if "val_from" in here else val_from
    if not has_validation:
        return Selection(
            False,
            "Nothing is selected, for there are no validation images: put some that stage 1 has not seen into a `val` "
            "folder or split, or hold some out with `data.val_from`.",
        )
    if asserted:
        return Selection(True, f"validation images ({val_from}) unseen: so the user says")
    theirs, ours = (record.get("hashes", {}).get("train") for record in (checkpoint, here))
    if theirs and ours and theirs == ours:
        return Selection(True, f"validation images ({val_from}) unseen: the checkpoint records these training images")
    if val_from == "source" or (val_from in _APART and not theirs):
        return Selection(True, f"validation images ({val_from}) unseen: apart from all training images of the source")
    why = "records other training images than these" if theirs else "does not record its training images"
    return Selection(
        False,
        f"Nothing is selected, for the checkpoint {why} and may have seen the validation images "
        f"({asked}); give images that it has not seen as a `val` folder or split, or, if you know "
        f"that it has not seen these, say `unseen: true`.",
    )


def choose(scores: Sequence[float]) -> int | None:
    """The place of the highest score, the first of equals; ``None`` where all are NaN."""
    best = None
    for place, score in enumerate(scores):
        if not math.isnan(score) and (best is None or score > scores[best]):
            best = place
    return best


def memorised(validation: float, training: float) -> str | None:
    """A warning where stage 1 is no worse on validation than on training images, as on images that it has learnt.

    Args:
        validation: Its accuracy on validation images, mean over classes that have some.
        training: On training images, over the same classes.
    """
    if math.isnan(validation) or math.isnan(training) or validation < training:
        return None
    return (
        f"Stage 1 is no worse on validation images ({100 * validation:.1f} %) than on training images "
        f"({100 * training:.1f} %): it may have been trained on them, and then they select the wrong method; give "
        f"validation images that it has not seen."
    )
