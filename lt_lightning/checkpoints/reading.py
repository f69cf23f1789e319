"""What a file holds, before it is held against a model."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.checkpoints.past import Entry, origins, past_of
from lt_lightning.errors import UsageError
from lt_lightning.wording import some

RECORD = "lt_lightning"
"""Key under which our own checkpoints record what they were trained on."""

Place = tuple[Any, ...]
"""Keys that lead to a tensor in the nested dictionaries of a file."""

_ENVELOPES = ("state_dict", "model_state_dict", "model", "net", "network", "state_dict_best", "weights", "params")
# Moving averages of weights, taken where a file holds nothing else.
_AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")
# Dictionaries of tensors that are no network's, by a word of their name.
_ASIDE = re.compile(
    r"(^|_)(optim\w*|opt|lr|\w*schedulers?|scaler|amp|ema|swa|teacher|criterion|loss|rng|callbacks|loops|centroids?|"
    r"hyper|hparams)(_|$)"
)
_CLASSIFIER = re.compile(r"(^|_)(classifier|head|heads|fc|linear|lws)(_|$)")
# What wrappers put in the middle of keys: torch.compile, FSDP, activation checkpointing.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_DEEPEST = 8  # envelopes in envelopes; one that contains itself has no end


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, before it is held against a model."""

    path: Path
    tensors: dict[str, Tensor]
    """By dotted names; names that wrappers such as ``torch.compile`` put into keys are left out."""
    form: str
    """How the file stores its weights, in words."""
    class_counts: list[int] | None = None
    """Training images per class, if the file says so."""
    split: dict[str, Any] = field(default_factory=dict)
    """What the file records of the data it was trained on."""
    past: list[Entry] = field(default_factory=list)
    """What its weights had been trained on before, the latest first."""
    class_names: list[str] | None = None
    """Names of the classes in the order of the classifier's rows, if the file says so."""
    stored_names: dict[str, list[str]] = field(default_factory=dict)
    """Names of classes by the keys under which scripts store those of a torchvision dataset, for whatever use."""
    transform: dict[str, Any] = field(default_factory=dict)
    """What the file records of how evaluation images became input."""
    head: dict[str, Any] | None = None
    """``class_path`` and ``init_args`` of the head, if the file is one of ours."""
    backbone: dict[str, Any] | None = None
    """The same of the backbone."""
    selection: str | None = None
    """What its classifier was chosen by, if it was and the file is one of ours: ``val: lort of compare``."""
    places: dict[str, Place] = field(default_factory=dict)
    """Where in the file each of ``tensors`` stands."""

    @property
    def origins(self) -> list[Entry]:
        """What its weights have been trained on, the latest first, as whoever starts from them has to record."""
        return origins(self.split, self.past)


def read(path: str | Path) -> Checkpoint:
    """Open a checkpoint without running any code it may hold.

    Raises:
        UsageError: If the file is missing, empty, truncated or foreign, needs arbitrary unpickling, or holds no state
            dict.
    """
    path = Path(path)
    return in_contents(open_safely(path), path)


def in_contents(contents: Mapping[Any, Any], path: Path) -> Checkpoint:
    """The checkpoint that a file holds, or will hold once it is written.

    Args:
        contents: Of the file.
        path: Of the file, for the record and for errors.

    Raises:
        UsageError: If there is no state dict in it.
    """
    envelope, found = _weights(contents)
    tensors: dict[str, Tensor] = {}
    places: dict[str, Place] = {}
    for place, tensor in found:
        name = _WRAPPERS.sub("", ".".join(map(str, place[len(envelope) :])))
        if name not in tensors:
            tensors[name], places[name] = tensor, place
    if not tensors:
        raise UsageError(
            f"`checkpoint` {str(path)!r} holds no state dict, neither bare nor under one of {', '.join(_ENVELOPES)}; "
            f"its keys are {some(list(map(str, contents))) or 'none'}."
        )
    if "pytorch-lightning_version" in contents:
        form = "Lightning checkpoint"
    else:
        form = "PyTorch state dict" + (f" under {'.'.join(envelope)!r}" if envelope else "")
    record = _mapping(contents.get(RECORD))
    arguments = _mapping(contents.get("hyper_parameters"))
    return Checkpoint(
        path=path,
        tensors=tensors,
        form=form,
        class_counts=record.get("class_counts"),
        split=_mapping(record.get("split")),
        past=past_of(record),
        class_names=_class_names(contents, arguments, record),
        stored_names=_stored_names(contents),
        transform=_mapping(record.get("transform")),
        head=(_mapping(arguments.get("head")) or _mapping(record.get("head")) or None) if record else None,
        backbone=(_mapping(arguments.get("backbone")) or None) if record else None,
        selection=record.get("selection"),
        places=places,
    )


def memory_of(tensor: Tensor) -> tuple[object, ...]:
    """What is equal for tensors that are one, as those of a layer are that a module has under two names."""
    if tensor.layout != torch.strided:  # a sparse one has several memories
        return (id(tensor),)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def tensors_in(node: object, place: Place = (), above: tuple[int, ...] = ()) -> Iterator[tuple[Place, Tensor]]:
    """The tensors in nested dictionaries, with their places."""
    if isinstance(node, Tensor):
        yield place, node
    elif isinstance(node, Mapping) and id(node) not in above:  # one that contains itself has no end
        for key, value in node.items():
            yield from tensors_in(value, (*place, key), (*above, id(node)))


def _weights(contents: Mapping[Any, Any]) -> tuple[tuple[str, ...], list[tuple[Place, Tensor]]]:
    """The envelope that holds a file's network, and the tensors in it with their places."""
    envelope: tuple[str, ...] = ()
    node = contents
    while len(envelope) < _DEEPEST:
        parts = {str(key): list(tensors_in(value)) for key, value in node.items() if isinstance(value, Mapping)}
        full = {key for key, tensors in parts.items() if tensors}
        network = {key for key in full if not _ASIDE.search(key)}
        name = next((key for key in _ENVELOPES if key in network), None)
        bare = any(isinstance(value, Tensor) for value in node.values())
        if name is None and not network and not bare:
            name = next((key for key in _AVERAGES if key in full), None)
        # Split files keep the classifier beside the backbone, under a name of its own.
        if name is None or any(_CLASSIFIER.search(key) for key in network - {name}):
            own = {key: value for key, value in node.items() if isinstance(value, Tensor) or str(key) in network}
            return envelope, [(envelope + place, tensor) for place, tensor in tensors_in(own)]
        envelope, node = (*envelope, name), node[name]
    return envelope, []


def _class_names(*holders: Mapping[Any, Any]) -> list[str] | None:
    for holder in holders:
        if (names := holder.get("class_names")) and isinstance(names, list | tuple):
            return list(map(str, names))
    return None


def _stored_names(contents: Mapping[Any, Any]) -> dict[str, list[str]]:
    """What torchvision's folders of images have, ``class_to_idx`` and ``classes``, in the order of the numbers."""
    found: dict[str, list[str]] = {}
    numbers, names = _mapping(contents.get("class_to_idx")), contents.get("classes")
    if numbers and all(type(number) is int for number in numbers.values()):  # a bool is no number here
        by_row = sorted(numbers, key=numbers.__getitem__)
        if [numbers[name] for name in by_row] == list(range(len(by_row))):
            found["class_to_idx"] = list(map(str, by_row))
    if names and isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        found["classes"] = list(names)
    return found


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
