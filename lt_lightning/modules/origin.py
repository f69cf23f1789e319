"""What a checkpoint records of the data it was trained on, and whether other data agree with it."""

from typing import Any, cast

from lightning.pytorch.utilities import rank_zero_warn

from lt_lightning.backbones import Backbone
from lt_lightning.checkpoints import training_images
from lt_lightning.checkpoints.head_record import head_record
from lt_lightning.checkpoints.past import distinct, trained_on
from lt_lightning.errors import UsageError

# Data and modules know each other by duck type alone; any LightningDataModule may stand here, or none.


def describe_data(data: object) -> dict[str, Any]:
    """What whoever uses the weights has to know of the data: names of the classes, pre-processing."""
    names, describe = getattr(data, "class_names", None), getattr(data, "describe_transform", None)
    record = {"class_names": names and list(map(str, names)), "transform": describe(False) if describe else None}
    return {key: value for key, value in record.items() if value and is_plain(value)}


def describe_split(data: object) -> dict[str, Any]:
    """The data's own record of their split; empty if they keep none."""
    describe = getattr(data, "describe_split", None)
    return cast(dict[str, Any], describe()) if describe else {}


def record_of(module: Any, data: object) -> dict[str, Any]:
    """What a checkpoint says of a module of ours and of the data that it was trained on.

    Args:
        module: As it is to be saved.
        data: Its trainer's, if there are any.
    """
    split = describe_split(data)
    return {
        "class_counts": module.class_counts,
        "head": head_record(module.head),
        "split": split,
        "past": distinct(module.past, trained_on(split)),
        "epochs": module.epochs_trained,
        "input_shape": None if module.input_shape is None else list(module.input_shape),
        **describe_data(data),
    }


def check_origin(record: dict[str, Any], class_counts: list[int], split: dict[str, Any], what: str) -> None:
    """Compare a checkpoint's record of its training data with the data at hand.

    Args:
        record: ``class_counts`` and ``split`` as a checkpoint holds them; may be empty.
        class_counts: Of the data at hand.
        split: Of the data at hand, as :func:`describe_split` gives it.
        what: Names the checkpoint at the start of the error.

    Raises:
        UsageError: If they differ.
    """
    counts = record.get("class_counts")
    if counts is not None and list(counts) != class_counts:
        raise UsageError(
            f"{what} was trained on {sum(counts)} images in {len(counts)} classes ({_ends(counts)}), but the data "
            f"have {sum(class_counts)} in {len(class_counts)} ({_ends(class_counts)}); give the same `data`, or set "
            f"`model.allow_changed_data` to true."
        )
    theirs, ours = (training_images(found) for found in (record.get("split"), split))
    if theirs and ours and theirs != ours:
        raise UsageError(
            f"{what} was trained on other images than these data select (split hash {theirs[:12]}…, here "
            f"{ours[:12]}…), so validation images may have been seen; give the same `data`, or set "
            f"`model.allow_changed_data` to true."
        )


def check_transform(there: dict[str, Any], data: object, whose: str) -> None:
    """Warn where evaluation images are not prepared as weights are used to, which costs accuracy.

    Args:
        there: ``transform`` as a checkpoint holds it; may be empty.
        data: The data module at hand.
        whose: Names the checkpoint's images.
    """
    describe = getattr(data, "describe_transform", None)
    here = describe(False) if describe else {}
    differing = ", ".join(
        f"`data.{key}` {_listed(here[key])} (there {_listed(there[key])})"
        for key in ("image_size", "resize", "mean", "std")
        if key in here and key in there and _listed(here[key]) != _listed(there[key])
    )
    if differing:
        rank_zero_warn(f"Images are prepared otherwise than {whose}: {differing}.")


def check_published(backbone: Backbone, data: object) -> None:
    """Warn where images are not normalised as the published weights that a backbone begins with are used to."""
    check_transform(dict(backbone.published_transform), data, "the published weights of `backbone` are used to")


def is_plain(value: Any) -> bool:
    """Whether a value is made of numbers, strings and ``None`` alone, in dictionaries, lists and tuples."""
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(entry) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _ends(counts: list[int]) -> str:
    return f"{max(counts)} to {min(counts)} a class"
