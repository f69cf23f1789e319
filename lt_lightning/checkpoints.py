"""Reading somebody's weights safely, and saying what of them fits.

A checkpoint is one of ours, or any file that ``torch.load(weights_only=True)`` opens and that holds a state dict: bare,
or under one of the usual names. Prefixes such as ``module.`` are inferred by comparing keys, not listed.
"""

import pickle
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError

_ENVELOPES = ("state_dict", "model_state_dict", "model", "net")
RECORD = "lt_lightning"
"""Key under which our own checkpoints record what they were trained on."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, before it is held against a model."""

    path: Path
    tensors: dict[str, Tensor]
    form: str
    """How the file stores its weights, in words."""
    class_counts: list[int] | None = None
    """Training images per class, if the file says so."""
    split: dict[str, Any] = field(default_factory=dict)
    """What the file records of the data it was trained on."""


@dataclass(frozen=True)
class Classifier:
    """A linear classifier found in a checkpoint."""

    name: str
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Match:
    """A backbone held against a checkpoint's tensors."""

    prefix: str
    tensors: dict[str, Tensor]
    """What the backbone can load, by the backbone's own keys."""
    missing: list[str]
    """Keys of the backbone that the file lacks."""
    misshapen: list[str]
    """Keys present in both with different shapes, both shapes named."""
    rest: dict[str, Tensor]
    """Tensors of the file that the backbone has no use for, by the file's keys."""
    total: int
    """Tensors of the backbone."""


def read(path: str | Path) -> Checkpoint:
    """Open a checkpoint without running any code it may hold.

    Raises:
        UsageError: If the file is missing, is no checkpoint, needs arbitrary unpickling, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"`checkpoint` {str(path)!r} is not a file; give the path of a stage-1 checkpoint.")
    with path.open("rb") as file:
        start = file.read(4)
    if not start.startswith((b"PK", b"\x80")):  # a zip archive, or before PyTorch 1.6 a pickle
        raise UsageError(f"`checkpoint` {str(path)!r} is no PyTorch file: it starts with {start!r}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles that it is about to refuse
            contents = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"`checkpoint` {str(path)!r} holds more than tensors and plain values, and opening it could run foreign "
            f"code; save `model.state_dict()` alone with `torch.save` where the model was trained, and give that file."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, LookupError) as error:
        raise UsageError(
            f"`checkpoint` {str(path)!r} is truncated or holds no weights ({_first_line(error)})."
        ) from error

    if not isinstance(contents, dict):
        raise UsageError(f"`checkpoint` {str(path)!r} holds a {type(contents).__name__}, not a dictionary of tensors.")
    name = next((key for key in _ENVELOPES if isinstance(contents.get(key), dict)), None)
    tensors = {
        # torch.compile puts its wrapper's name in the middle of keys.
        str(key).replace("_orig_mod.", ""): value
        for key, value in (contents if name is None else contents[name]).items()
        if isinstance(value, Tensor)
    }
    if not tensors:
        raise UsageError(
            f"`checkpoint` {str(path)!r} holds no state dict, neither bare nor under one of {', '.join(_ENVELOPES)}; "
            f"its keys are {_some(list(map(str, contents)))}."
        )
    lightning = "pytorch-lightning_version" in contents
    form = "Lightning checkpoint" if lightning else "PyTorch state dict" + (f" under {name!r}" if name else "")
    record = contents.get(RECORD, {})
    return Checkpoint(path, tensors, form, record.get("class_counts"), record.get("split", {}))


def match(checkpoint: Checkpoint, backbone: nn.Module) -> Match:
    """Find the backbone's tensors in a checkpoint, under whatever prefix they stand there."""
    wanted = backbone.state_dict()
    best = max(_prefix_pairs(checkpoint.tensors, wanted), key=lambda pair: _hits(checkpoint.tensors, wanted, *pair))
    theirs, ours = best
    found: dict[str, Tensor] = {}
    missing, misshapen, used = [], [], set()
    for key, target in wanted.items():
        source = theirs + key.removeprefix(ours)
        tensor = checkpoint.tensors.get(source)
        if tensor is None:
            # Files older than PyTorch 0.4.1 do not count batches, and nothing here reads the count.
            if not key.endswith("num_batches_tracked"):
                missing.append(key)
        elif tensor.shape != target.shape:
            misshapen.append(f"{key}: {tuple(tensor.shape)} in the file, {tuple(target.shape)} in the backbone")
            used.add(source)
        else:
            found[key] = tensor
            used.add(source)
    rest = {key: tensor for key, tensor in checkpoint.tensors.items() if key not in used}
    return Match(theirs, found, missing, misshapen, rest, len(wanted))


def find_classifier(found: Match, num_features: int, num_classes: int, path: Path) -> Classifier:
    """The linear classifier among the tensors the backbone left over.

    Raises:
        UsageError: If there is none, several, or one for another number of classes.
    """
    linear = {key: tensor for key, tensor in found.rest.items() if tensor.ndim == 2 and tensor.shape[1] == num_features}
    fitting = [key for key, tensor in linear.items() if tensor.shape[0] == num_classes and key.endswith("weight")]
    if not fitting and linear:
        key, tensor = next(iter(linear.items()))
        raise UsageError(
            f"`checkpoint` {str(path)!r} has a classifier {key!r} of {tensor.shape[0]} classes, but the data have "
            f"{num_classes}; give the data that the checkpoint was trained on."
        )
    if len(fitting) != 1:
        raise UsageError(
            f"`checkpoint` {str(path)!r} must hold one linear classifier with {num_classes} rows of {num_features} "
            f"features, but has {len(fitting)}: left over beside the backbone are {_some(list(found.rest))}."
        )
    name = fitting[0].removesuffix("weight")
    bias = found.rest.get(name + "bias")
    return Classifier(name.rstrip("."), found.rest[fitting[0]], bias)


def unexpected(found: Match, classifier: Classifier) -> list[str]:
    """Tensors of the file's network that are neither the backbone's nor the classifier's.

    A deeper network of the same family matches in every key of the shallower one, so these decide as well.
    """
    classifier_prefix = classifier.name + "."
    return [key for key in found.rest if key.startswith(found.prefix) and not key.startswith(classifier_prefix)]


def explain_mismatch(found: Match, extra: list[str]) -> str:
    """What does not fit, in a few words."""
    parts = [f"{len(found.tensors)} of {found.total} backbone tensors match"]
    for words, keys in (("missing", found.missing), ("of another shape", found.misshapen), ("unexpected", extra)):
        if keys:
            parts.append(f"{len(keys)} {words}: {_some(keys, most=2)}")
    return "; ".join(parts)


def _prefix_pairs(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[tuple[str, str]]:
    """Candidate (their prefix, our prefix); ours is what wraps a torchvision model inside a backbone."""
    pairs = {("", "")}
    for ours in {"", *({"model."} if all(key.startswith("model.") for key in wanted) else ())}:
        names = {key.removeprefix(ours) for key in wanted}
        for key in tensors:
            parts = key.split(".")
            tails = (".".join(parts[cut:]) for cut in range(len(parts)))
            pairs.update((key.removesuffix(tail), ours) for tail in tails if tail in names)
    return sorted(pairs)


def _hits(tensors: dict[str, Tensor], wanted: dict[str, Tensor], theirs: str, ours: str) -> int:
    return sum(theirs + key.removeprefix(ours) in tensors for key in wanted)


def _some(keys: list[str], most: int = 4) -> str:
    shown = ", ".join(repr(key) for key in keys[:most])
    return shown + (f" and {len(keys) - most} more" if len(keys) > most else "")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
