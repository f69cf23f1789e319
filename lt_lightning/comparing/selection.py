"""Whether validation images are unseen, and which setting they choose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from lt_lightning.checkpoints import PUBLISHED, Entry, training_images

BY_PENALTY = "val: the penalty"
"""What `probe` records of a classifier whose penalty validation images have chosen."""

_APART = ("source", "unused")
"""Values of ``val_from`` whose images no training on the same source has shown."""

_PUBLISHED = ", and the published weights that it began with are taken not to have seen them, which nothing records"

_SAME = 1e-9  # accuracies nearer than this are equal: one image more is more than that, the rest is rounding

_CLEAR, _ERRORS = 0.02, 3.0
"""From when on stage 1 is clearly better on one kind of images: in accuracy, and in standard errors of it."""


Meaning = Literal["learnt", "chance", "one class"]
"""Why a classifier may be no worse on validation than on training images."""


@dataclass(frozen=True)
class Selection:
    """Whether settings may be selected, and why.

    Attributes:
        allowed: Whether there are validation images that neither stage has trained on, as far as :func:`may_select`
            can tell.
        reason: One sentence for the record; where nothing may be selected, with what to provide.
        on_test: Whether epochs and seeds are those that are best on test images.
        has_images: Whether there are validation images, seen or not.
    """

    allowed: bool
    reason: str
    on_test: bool = False
    has_images: bool = True

    @property
    def label(self) -> str:
        """The protocol column: ``val``, ``unselected`` or ``best_on_test``."""
        return "best_on_test" if self.on_test else "val" if self.allowed else "unselected"


def may_select(
    has_validation: bool,
    here: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    asserted: bool,
    past: Sequence[Entry] = (),
) -> Selection:
    """Whether validation images are unseen by both stages: by record, or by where they come from.

    ========================  ===================================================================================
    validation images         count as unseen
    ========================  ===================================================================================
    the source's own split    whatever is recorded, being apart from the source's training images
    unused pool images        unless the checkpoint records other training images
    held out of the pool      if the checkpoint records these training images
    held out of training      if the checkpoint records these training images
    of any other kind         if the checkpoint records these training images
    any                       if the user says so
    ========================  ===================================================================================

    A checkpoint records training images if all trainings do that its weights have gone through, its own and those of
    the files that it began with. Published weights record nothing. They are taken not to have seen the images, as
    weights of ImageNet have not seen a folder of one's own, and the reason says so.

    Args:
        has_validation: Whether there are any.
        here: The data's ``describe_split()``, its training images loaded.
        checkpoint: What the checkpoint records of the data that it was trained on; empty for a foreign one.
        asserted: Whether the user says that stage 1 has not seen them.
        past: What the checkpoint's weights had been trained on before.
    """
    val_from = str(here.get("val_from", "a split of one's own"))
    asked = f'`data.val_from` "{val_from}"' if "val_from" in here else val_from
    if not has_validation:
        return Selection(
            False,
            "Nothing is selected, for there are no validation images: put some that stage 1 has not seen into a `val` "
            "folder or split, or hold some out with `data.val_from`.",
            has_images=False,
        )
    if asserted:
        return Selection(True, f"validation images ({val_from}) unseen: so the user says")
    ours, own = training_images(here), training_images(checkpoint)
    before = [entry.get("train") for entry in past if entry != PUBLISHED]
    unseen = f"validation images ({val_from}) unseen: "
    taken = f"validation images ({val_from}) taken to be unseen: they are apart from all training images of the source"
    if ours and all(found == ours for found in (own, *before)):
        published = len(before) < len(past)
        return Selection(True, f"{unseen}the checkpoint records these training images{_PUBLISHED if published else ''}")
    others = any(found and found != ours for found in (own, *before))
    if val_from == "source" and others:
        return Selection(True, f"{taken}, though the checkpoint records others than these")
    if val_from in _APART and not others:
        what = "the weights that the checkpoint began with were" if own else "the checkpoint was"
        return Selection(True, f"{taken}; nothing records what {what} trained on")
    return Selection(
        False,
        f"Nothing is selected, for the checkpoint {_why_not(ours, own, others)} and may have seen the validation "
        f"images ({asked}); give images that it has not seen as a `val` folder or split, or, if you know "
        f"that it has not seen these, say `unseen: true`.",
    )


def _why_not(ours: str | None, own: str | None, others: bool) -> str:
    """What a checkpoint's record lacks, that of its own training first."""
    if not own:
        return "does not record its training images"
    if own != ours:
        return "records other training images than these"
    if others:
        return "began with a file that records other training images than these"
    return "began with weights of which nothing records the training images"


def better(score: float, than: float) -> bool:
    """Whether one accuracy is higher than another by more than the rounding of a mean; never where one is NaN."""
    return score > than + _SAME


def choose(scores: Sequence[float]) -> int | None:
    """The place of the highest score, the first of equals; ``None`` where all are NaN."""
    best = None
    for place, score in enumerate(scores):
        if not math.isnan(score) and (best is None or better(score, scores[best])):
            best = place
    return best


def memorised(validation: float, training: float, num_classes: int) -> Meaning | None:
    """What it may mean that stage 1 is no worse on validation than on training images; nothing where it is worse.

    It may have learnt them, too, or it knows neither: chance. Of one class it means nothing: whatever predicts it alone
    is right.

    Args:
        validation: Its accuracy on validation images, mean over classes that have some.
        training: On training images, over the same classes.
        num_classes: How many these are.
    """
    if num_classes < 2 or math.isnan(validation) or math.isnan(training) or better(training, validation):
        return None
    return "chance" if validation < 1 / num_classes + _CLEAR else "learnt"


def favoured(validation: Tensor, validated: Tensor, test: Tensor, tested: Tensor) -> str | None:
    """A warning where stage 1 is clearly better on validation than on test images: unseen ones of both score alike.

    Clearly is by at least 2 points, and by more than 3 standard errors of the difference between the means over classes
    that have both. As if both kinds scored alike, a class's variance comes from its images of both kinds together,
    with a success and a failure more: few images that are all right, or all wrong, do not make it 0.

    Args:
        validation: Validation images of each class that stage 1 is right about, ``(K,)``.
        validated: Validation images of each class, ``(K,)``.
        test: Test images of each class that it is right about, ``(K,)``.
        tested: Test images of each class, ``(K,)``.
    """
    both = (validated > 0) & (tested > 0)
    if not bool(both.any()):
        return None
    right, number = validation[both].double(), validated[both].double()
    right_of_test, number_of_test = test[both].double(), tested[both].double()
    here, there = float((right / number).mean()), float((right_of_test / number_of_test).mean())
    together = number + number_of_test
    share = (right + right_of_test + 1) / (together + 2)
    # Without the last factor the variance that a sample shows is too small on average, by half for two images.
    variances = share * (1 - share) * (1 / number + 1 / number_of_test) * together / (together - 1)
    error = float(variances.sum().sqrt()) / int(both.sum())
    if here - there < _CLEAR or here - there <= _ERRORS * error:
        return None
    return (
        f"Stage 1 is clearly better on validation images ({100 * here:.1f} %) than on test images "
        f"({100 * there:.1f} %), mean over classes that have both: unless the test images are harder ones, it seems to "
        f"have been trained on the validation images or chosen by them, and then they select the wrong method; give "
        f"validation images that it has not seen."
    )
