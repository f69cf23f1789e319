"""What our own checkpoints say of themselves: classes, pre-processing, and the model that was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lt_lightning.checkpoints import RECORD
from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.errors import UsageError

FROM_DATA = ("class_counts", "group_thresholds")
"""Arguments of a model that the command line takes from the data."""


@dataclass(frozen=True)
class PreProcessing:
    """How an image on disk becomes what a network takes."""

    image_size: int
    """Side of the square that is cut from the middle, in pixels."""
    resize: int
    """Length that the shorter side is brought to before, in pixels."""
    mean: tuple[float, ...]
    """Of each channel, on the scale of [0, 1]."""
    std: tuple[float, ...]

    @property
    def order(self) -> str:
        """Of the channels: ``RGB``, or ``L`` for one channel of grey."""
        return "L" if len(self.mean) == 1 else "RGB"


@dataclass(frozen=True)
class Record:
    """One of our checkpoints, read."""

    path: Path
    class_counts: list[int]
    """Training images per class."""
    class_names: list[str]
    """In the order of the logits; numbers where the data have no names."""
    transform: dict[str, Any]
    """What its data module said of turning images into input, without augmentation."""
    input_shape: tuple[int, ...] | None
    """Channels, height and width that the network was last given; the shape of one input where it is no image."""
    epochs: int
    """That the weights were trained for."""
    model: dict[str, Any] | None
    """``class_path`` and ``init_args``, if the command line made it; otherwise the file cannot say."""
    tensors: dict[str, Tensor]
    """The module's state dict."""

    def pre_processing(
        self,
        image_size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        options: str = "",
    ) -> PreProcessing:
        """How the evaluation images of the training data were prepared, with what the caller knows better.

        Args:
            image_size: Instead of the recorded one; the shorter side is scaled along.
            mean: Instead of the recorded one.
            std: Instead of the recorded one.
            options: What stands before the arguments' names where they are typed, for messages.

        Raises:
            UsageError: If the network takes no images, neither caller nor file know a value, or values do not go
                together.
        """
        if self.input_shape and len(self.input_shape) != 3:
            vectors = len(self.input_shape) == 1
            what = f"vectors of {self.input_shape[0]}" if vectors else f"inputs of shape {self.input_shape}"
            raise UsageError(
                f"`checkpoint` {str(self.path)!r} was trained on {what}, but `export` and `PredictFolder` are for "
                f"networks of images (C, H, W); predict with data of the class that trained it, and make a program "
                f"with torch.export."
            )
        recorded = self.transform.get("image_size")
        if self.input_shape:  # a custom data module may show others than squares, of which no side is the size
            recorded = self.input_shape[2] if self.input_shape[1] == self.input_shape[2] else None
        found: dict[str, Any] = {
            "image_size": recorded if image_size is None else image_size,
            "mean": self.transform.get("mean") if mean is None else mean,
            "std": self.transform.get("std") if std is None else std,
        }
        for name, value in found.items():
            if value is None:
                raise UsageError(
                    f"`checkpoint` {str(self.path)!r} does not record the `{name}` of its images; give "
                    f"`{options}{name}`."
                )
        size, means, deviations = int(found["image_size"]), _numbers(found["mean"]), _numbers(found["std"])
        channels = self.input_shape[0] if self.input_shape else len(means)
        if size < 1:
            raise UsageError(f"`{options}image_size` must be at least 1, but got {size}.")
        if {len(means), len(deviations)} != {channels} or min(deviations) <= 0:
            raise UsageError(
                f"`{options}mean` and `{options}std` must hold {channels} number{'s' if channels > 1 else ''}, one per "
                f"channel, those of `std` above 0, but got {list(means)} and {list(deviations)}."
            )
        resize = self.transform.get("resize", recorded or size)
        return PreProcessing(size, round(size * resize / (recorded or size)), means, deviations)


def read_record(path: str | Path, argument: str = "checkpoint") -> Record:
    """Read one of our checkpoints without running code that it may hold.

    Args:
        path: The file.
        argument: What it is called where it was typed, for messages.

    Raises:
        UsageError: If it is no checkpoint, or none of ours.
    """
    require_file(path, argument)
    contents = open_safely(Path(path), argument)
    record = contents.get(RECORD)
    if not isinstance(record, Mapping) or "class_counts" not in record or "state_dict" not in contents:
        raise UsageError(
            f"`{argument}` {str(path)!r} is no checkpoint of this package: it does not say what classes it was trained "
            f"on; give a `last.ckpt` that `lt-lightning fit` has left, of stage 1 or 2, or the `better.ckpt` of "
            f"`compare`."
        )
    counts = [int(count) for count in record["class_counts"]]
    shape = record.get("input_shape")
    return Record(
        path=Path(path),
        class_counts=counts,
        class_names=[str(name) for name in record.get("class_names") or range(len(counts))],
        transform=dict(record.get("transform") or {}),
        input_shape=tuple(shape) if shape else None,
        epochs=int(record.get("epochs", 0)),
        model=model_of(contents),
        tensors=contents["state_dict"],
    )


def require_file(path: str | Path, argument: str = "checkpoint") -> None:
    """Refuse a name that no file has.

    Args:
        path: The file.
        argument: What it is called where it was typed.

    Raises:
        UsageError: If there is none.
    """
    if not Path(path).is_file():
        raise UsageError(
            f"`{argument}` {str(path)!r} is not a file; give a `last.ckpt` that `lt-lightning fit` has left, "
            f"or the `better.ckpt` of `compare`."
        )


def require_state(path: str, contents: Mapping[str, Any]) -> None:
    """Refuse to train on from what was saved while trained weights were tested: all of training would come again.

    Args:
        path: The checkpoint, for messages.
        contents: Of the file.

    Raises:
        UsageError: If weights are trained, and nothing else says so.
    """
    epochs = int((contents.get(RECORD) or {}).get("epochs", 0))
    if epochs and not contents.get("global_step") and not contents.get("optimizer_states"):
        raise UsageError(
            f"{path!r} holds weights trained for {epochs} epochs, but no state of training, as if it had been saved "
            f"during a test: `fit` would begin again from them; give the `last.ckpt` of the run that trained them, and "
            f"remove this file if a job has saved it."
        )


def model_of(contents: Mapping[Any, Any]) -> dict[str, Any] | None:
    """``class_path`` and ``init_args`` of the model in a Lightning checkpoint.

    Args:
        contents: Of the file.

    Returns:
        ``None`` unless the command line made the model: then nothing says what it is made of.
    """
    arguments = dict(contents.get("hyper_parameters") or {})
    class_path = arguments.pop("_class_path", None)
    arguments.pop("_instantiator", None)
    return None if class_path is None else {"class_path": class_path, "init_args": arguments}


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
