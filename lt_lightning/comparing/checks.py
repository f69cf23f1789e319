"""Warnings where figures of a comparison mean less than they seem to."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lt_lightning.comparing.evaluation import count_correct, predicted_classes
from lt_lightning.comparing.outcome import Row
from lt_lightning.comparing.selection import BY_PENALTY, Meaning, favoured, memorised
from lt_lightning.comparing.setup import Setup
from lt_lightning.data import LTDataModule
from lt_lightning.data.splits import classes_without
from lt_lightning.errors import UsageError
from lt_lightning.features import Features
from lt_lightning.functional.reordering import agreement, agreement_if_reordered, exchanged_classes
from lt_lightning.heads import Head
from lt_lightning.wording import first_few

_CLEAR = 0.2
"""Gain in recall or kappa above which classes seem to stand in another order; in the right one mistakes give less."""
_MOST_NAMES = 100
"""Classes whose order is said in full."""
_ENOUGH = 5
"""Validation images of a class: with fewer one image moves its accuracy by 25 points or more."""


def check_labelled(data: LTDataModule) -> None:
    """Refuse test images of which no class is known, as data of one's own may have.

    Raises:
        UsageError: If there are such images.
    """
    test = data.split("test")
    unknown = 0 if test is None else int((test.targets < 0).sum())
    if unknown:
        raise UsageError(
            f"`{type(data).__name__}` has test images of which no class is known, {unknown} in all, so they cannot "
            f"judge a classifier; give test images with labels."
        )


def check_tested(setup: Setup) -> None:
    """Warn of classes without a test image: means over classes leave them out, and mostly they are of the tail.

    Raises:
        UsageError: If there are test images of which no class is known.
    """
    check_labelled(setup.data)
    test, names = setup.data.required("test"), setup.data.class_names
    untested = [str(names[label]) for label in classes_without(test.targets, len(names))]
    if untested:
        setup.warn(
            f"{len(untested)} of {len(names)} classes have no test image and are left out of the accuracies: "
            f"{first_few(untested)}."
        )


def check_validated(setup: Setup) -> None:
    """Warn of classes with few validation images, and of those with none, which have no say in any choice.

    Where validation images are what a long tail left of a pool, the largest classes have none by design; the record
    names them.
    """
    val, names = setup.data.split("val"), setup.data.class_names
    if val is None or not setup.selection.allowed:
        return
    counts = torch.bincount(val.targets[val.targets >= 0])
    present = counts[counts > 0]
    short = int((present < _ENOUGH).sum())
    if 2 * short >= len(present) > 0:
        setup.warn(
            f"{short} of {len(present)} classes with validation images have fewer than {_ENOUGH} of them, "
            f"{int(present.sum())} images in all, so the choice of settings and of the winner is uncertain; give more."
        )
    if setup.data.describe_split().get("val_from") == "unused":
        return
    missing = [str(names[label]) for label in classes_without(val.targets, len(names))]
    if missing:
        setup.warn(
            f"{len(missing)} of {len(names)} classes have no validation image, so settings and the winner are chosen "
            f"without regard to them: {first_few(missing)}; add images of theirs."
        )


def check_chosen(setup: Setup) -> None:
    """Warn where validation images have chosen stage 1's classifier, as in a file that a comparison handed back.

    Nothing is said of what `probe` makes: no file comes before it, and few penalties are tried.
    """
    chosen = setup.source.selection or ""
    if setup.selection.allowed and chosen.startswith("val:") and chosen != BY_PENALTY:
        setup.warn(
            f"The classifier of `checkpoint` {setup.source.path!r} was itself chosen by validation images ({chosen}): "
            f"if they are these, its accuracy on them is the best of several, and methods are held against it; start "
            f"from the file that it was made from."
        )


def check_order(setup: Setup, features: dict[str, Features]) -> bool:
    """Warn where stage 1 would be right about many more training images if its rows stood for other classes.

    A network that neglects its tail has little recall in any order, so kappa, which goes by images, may tell as well. A
    few classes exchanged among many hardly move either; their own images tell.

    A foreign file seldom names its classes. In a wrong order its classifier is a wrong start for every method, and a
    better one in its place would give images the names of others.

    Returns:
        Whether nothing speaks against the order.
    """
    train, names = features["train"], setup.data.class_names
    said = predicted_classes(setup.stage1.head, train, setup.device)
    now, renamed, order = agreement_if_reordered(said, train.targets, len(names))
    if max(renamed.recall - now.recall, renamed.kappa - now.kappa) <= _CLEAR:
        order = exchanged_classes(said, train.targets, len(names))
        renamed = agreement(order[said], train.targets, len(names))
    moved = [(names[row], names[one]) for row, one in enumerate(order.tolist()) if row != one]
    if not moved or renamed.accuracy <= now.accuracy:  # classes in another order would cost images, too
        return True
    shown = first_few([f"{theirs!r} meant {ours!r}" for theirs, ours in moved], most=3)
    setup.warn(
        f"The checkpoint's classes seem to stand in another order than the data's: stage 1 is right about "
        f"{100 * now.accuracy:.1f} % of the training images ({100 * now.recall:.1f} %, mean over classes), but would "
        f"be about {100 * renamed.accuracy:.1f} % ({100 * renamed.recall:.1f} %) if {shown}; name its classes in the "
        f"order of its rows by `checkpoint_class_names`{_suggestion([names[label] for label in order.tolist()])}."
    )
    return False


def _suggestion(order: Sequence[str]) -> str:
    """Names in the likeliest order as an option to paste, unless they are too many or no names."""
    if not len(set(order)) == len(order) <= _MOST_NAMES:
        return ""
    option = shlex.quote(json.dumps([str(name) for name in order], ensure_ascii=False))
    return f"; as far as training images tell, --checkpoint_class_names {option}"


@dataclass(frozen=True)
class Memory:
    """Why a head is no worse on validation than on training images.

    Attributes:
        meaning: See :func:`memorised`.
        validation: Its accuracy on validation images, mean over classes that have some.
        training: On training images, over the same classes.
        largest: The class with most training images.
    """

    meaning: Meaning
    validation: float
    training: float
    largest: int


def check_memorised(setup: Setup, features: dict[str, Features]) -> bool:
    """Warn where stage 1 seems to have been trained on the validation images that settings are selected on.

    Returns:
        Whether it is better than chance, as far as can be told.
    """
    if not setup.selection.allowed:
        return True
    found = memory_of(setup.stage1.head, features["val"], features["train"], setup.device)
    if found is None:
        return True
    meanings: dict[Meaning, str] = {
        "learnt": "it may have been trained on them, and then they select the wrong method; give validation images "
        "that it has not seen",
        "chance": "as by chance; its weights, its backbone's options, the order of its classes "
        "(`checkpoint_class_names`) or the preparation of images (`data`) may not be those that it was trained with",
        "one class": f"it calls every image {str(setup.data.class_names[found.largest])!r}, as networks do that "
        f"neglect their tail",
    }
    setup.warn(
        f"Stage 1 is no worse on validation images ({100 * found.validation:.1f} %) than on training images "
        f"({100 * found.training:.1f} %): {meanings[found.meaning]}."
    )
    return found.meaning != "chance"


def memory_of(head: Head, validation: Features, training: Features, device: torch.device) -> Memory | None:
    """What :func:`memorised` finds, if anything, over the classes that have validation images."""
    seen = torch.bincount(validation.targets, minlength=head.num_classes) > 0
    found = []
    for part in (validation, training):
        (correct,) = count_correct([head], part, device)
        total = torch.bincount(part.targets, minlength=head.num_classes)
        found.append(float("nan") if correct is None else float((correct / total)[seen].mean()))
    meaning = memorised(found[0], found[1], int(seen.sum()))
    if meaning is None:
        return None
    largest = int(torch.bincount(training.targets).argmax())
    parts = (validation, training)
    if meaning == "chance" and all(bool((predicted_classes(head, part, device) == largest).all()) for part in parts):
        meaning = "one class"
    return Memory(meaning, found[0], found[1], largest)


def check_favoured(setup: Setup, stage1: Row, features: dict[str, Features]) -> None:
    """Warn, after the test, where stage 1 is clearly better on validation images than on test images.

    Nothing is said where validation images choose no settings.

    Args:
        setup: What is compared.
        stage1: Its row, tested.
        features: Of :func:`extract_all`.
    """
    if not setup.selection.allowed or stage1.val_correct is None:
        return
    val, test = features["val"].targets.cpu(), features["test"].targets.cpu()

    def by_class(targets: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        number = len(setup.counts)
        return torch.bincount(targets, right, number), torch.bincount(targets, minlength=number)

    of_val, of_test = by_class(val, stage1.val_correct), by_class(test, stage1.correct(test))
    warning = favoured(*of_val, *of_test)
    if warning is not None:
        setup.warn(warning)
