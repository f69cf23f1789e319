"""Checkpoints of heads that were trained without a trainer."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lightning
import torch
import yaml
from jsonargparse import ArgumentParser

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone
from lt_lightning.checkpoints import RECORD, UNKNOWN, Entry
from lt_lightning.checkpoints.writing import write_new
from lt_lightning.errors import UsageError
from lt_lightning.heads import Head
from lt_lightning.long_lists import allow_long_lists
from lt_lightning.losses import Loss
from lt_lightning.modules.base import LTModule
from lt_lightning.modules.past import past_in
from lt_lightning.modules.representation import RepresentationModule
from lt_lightning.modules.retrain import RetrainModule
from lt_lightning.records import FROM_DATA
from lt_lightning.results import file_and_hash
from lt_lightning.wording import one_line


def save_retrained(
    path: str | Path,
    checkpoint: str,
    backbone: Backbone,
    head: Head,
    loss: Loss,
    data: object,
    epochs: int = 0,
    input_shape: tuple[int, ...] | None = None,
    arguments: Mapping[str, Any] | None = None,
    past: Sequence[Entry] | None = None,
    selection: str | None = None,
) -> None:
    """Write what ``fit`` would have left of a :class:`RetrainModule`, for ``test``, ``predict`` and ``export``.

    Training cannot go on from it: there are no states of an optimiser.

    Args:
        path: File to write, a new one; its folder is made if need be.
        checkpoint: File that stage 2 started from.
        backbone: With the weights of that file; it is frozen and put into evaluation mode.
        head: As it is to predict.
        loss: What it was trained with; it makes probabilities.
        data: Data module that the head was trained on.
        epochs: That the head was trained for.
        input_shape: Channels, height and width of the images, or the shape of other inputs; ``None`` where nobody
            knows.
        arguments: Plain arguments of :class:`RetrainModule` that make such a backbone, head and loss, as a YAML file
            has them. With them ``predict`` and ``export`` need no ``--model``.
        past: What the weights of that file have been trained on, where it has been read already: its ``origins``.
        selection: What the head was chosen by, as the results of its test are to say.

    Raises:
        UsageError: If ``path`` exists or there is no room, ``arguments`` are none or name other classes than those of
            the parts, or not one weight of the backbone is the file's (asked where ``past`` is not given, and the file
            can be read).
    """
    if past is None:
        _check_weights(backbone, checkpoint)
    thresholds = getattr(data, "group_thresholds", (20, 100))
    module = RetrainModule(
        head.class_counts,
        checkpoint,
        backbone,
        head=lambda *_: deepcopy(head),
        loss=lambda _: loss,
        group_thresholds=thresholds,
        allow_double_balancing=True,  # whether the parts go together was asked before they were trained
    )
    module._started, module._awaits_features = True, False  # its parts are made already
    given = None if arguments is None else {**arguments, "checkpoint": checkpoint}
    module.past = list(past_in(checkpoint) if past is None else past)
    module.stage1 = file_and_hash(checkpoint)
    _save(path, module, head, data, epochs, input_shape, given, selection)


def save_probed(
    path: str | Path,
    backbone: Backbone,
    head: Head,
    data: object,
    input_shape: tuple[int, ...] | None = None,
    arguments: Mapping[str, Any] | None = None,
    past: Sequence[Entry] = (UNKNOWN,),
    selection: str | None = None,
) -> None:
    """Write a classifier that was fitted to a backbone's features as a checkpoint of stage 1.

    Args:
        path: File to write, a new one; its folder is made if need be.
        backbone: As it is.
        head: As it is to predict, fitted by cross entropy.
        data: Data module that the head was fitted to.
        input_shape: Channels, height and width of the images, or the shape of other inputs; ``None`` where nobody
            knows.
        arguments: Plain arguments of :class:`RepresentationModule` that make such a backbone and head.
        past: What the backbone's weights have been trained on; by default nobody knows.
        selection: As of :func:`save_retrained`.

    Raises:
        UsageError: If ``path`` exists or there is no room, or ``arguments`` are none.
    """
    thresholds = getattr(data, "group_thresholds", (20, 100))
    module = RepresentationModule(
        head.class_counts, backbone, head=lambda *_: deepcopy(head), group_thresholds=thresholds
    )
    module.past = list(past)
    _save(path, module, head, data, 0, input_shape, arguments, selection)


def _save(
    path: str | Path,
    module: LTModule,
    head: Head,
    data: object,
    epochs: int,
    input_shape: tuple[int, ...] | None,
    arguments: Mapping[str, Any] | None,
    selection: str | None,
) -> None:
    module.head.load_state_dict(head.state_dict())  # making the module may have set its bias
    module.trainer = cast(Any, SimpleNamespace(datamodule=data))  # asked for its data alone
    module.epochs_trained, module.input_shape = epochs, input_shape
    tensors = module.state_dict()
    for key, value in tensors.items():
        tensors[key] = value.detach().cpu()  # in place, for it knows the versions of its modules, for which some ask
    contents: dict[str, Any] = {
        "epoch": epochs,
        "global_step": 0,
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": tensors,
        "callbacks": {},  # without this key Lightning asks no callback to read the file
    }
    if arguments is not None:
        contents["hparams_name"] = "kwargs"
        contents["hyper_parameters"] = {
            "_class_path": f"{type(module).__module__}.{type(module).__name__}",
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
            "class_counts": head.class_counts,
            "group_thresholds": tuple(module.group_thresholds),
            **_complete(module, arguments),
        }
    module.on_save_checkpoint(contents)
    contents[RECORD]["selection"] = selection
    size = sum(tensor.nbytes for tensor in tensors.values())
    write_new(Path(path), size, lambda draft: torch.save(contents, draft))


def _check_weights(backbone: Backbone, checkpoint: str) -> None:
    """Refuse a backbone that was made, but not given the weights of the file, by whatever names it has them."""
    try:
        theirs = checkpoints.read(checkpoint).tensors.values()
    except UsageError:  # it may be gone by now
        return
    ours = [tensor.detach().cpu() for tensor in backbone.parameters() if tensor.ndim > 1]  # others are often all 0 or 1
    if ours and not any(
        tensor.shape == other.shape and torch.equal(tensor, other.to(tensor.dtype))
        for tensor in ours
        for other in theirs
    ):
        raise UsageError(
            f"`backbone` {type(backbone).__name__} has other weights than `checkpoint` {checkpoint!r}; load them, by "
            f"`checkpoints.load(checkpoints.match(checkpoints.read(…), backbone), backbone)`."
        )


def _complete(module: LTModule, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with their defaults, classes by their full names."""
    kind = type(module)
    allow_long_lists()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "model", skip=set(FROM_DATA))
    given = {key: value for key, value in arguments.items() if key not in FROM_DATA}
    try:
        checked = parser.parse_object({"model": given})
    except Exception as error:  # jsonargparse raises several kinds
        raise UsageError(f"`arguments` do not make a {kind.__name__} ({one_line(error)}).") from error
    complete = cast(dict[str, Any], yaml.safe_load(parser.dump(checked, skip_unset=False))["model"])
    for part in ("backbone", "head", "loss"):
        named, made = complete[part], getattr(module, part)
        named = named["class_path"] if isinstance(named, dict) else named
        where, _, name = named.rpartition(".")
        wanted = None
        with suppress(ImportError):  # of a class within a class
            wanted = getattr(import_module(where), name, None)
        if isinstance(wanted, type) and not isinstance(made, wanted):  # it may be a function that makes one
            raise UsageError(f"`arguments` have `{part}` {named}, but what is to be saved is a {type(made).__name__}.")
    return complete
