"""Whether heads, losses and backbones of one's own keep their side of the contract, asked before anything trains."""

from collections.abc import Callable, Collection
from contextlib import suppress
from copy import deepcopy
from functools import partial
from inspect import Parameter, Signature, signature
from numbers import Number
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lt_lightning.backbones import Backbone
from lt_lightning.devices.placement import device_of_modules
from lt_lightning.errors import (
    UsageError,
    check_begun,
    check_makes,
    refusing_abstract_classes,
    refusing_unbegun_modules,
)
from lt_lightning.functional.checks import kind_of, type_of
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.packages import comes_from, is_ours

Part = TypeVar("Part")

_TYPES = {"in_features": "int", "class_counts": "list[int]"}
"""Of the arguments that heads and losses are made from."""


def make_parts(
    num_features: int, class_counts: list[int], head: Callable[..., Head], loss: Callable[..., Loss]
) -> tuple[Head, Loss]:
    """Make a head and a loss, and see that what they give can be trained with.

    Args:
        num_features: Length D of a feature vector.
        class_counts: Training images per class, length K.
        head: Makes the classifier from ``(num_features, class_counts)``.
        loss: Makes the loss from ``(class_counts,)``.

    Raises:
        UsageError: If one of them takes other arguments, or gives something of another kind or shape.
    """
    made = (
        _made("model.head", head, in_features=num_features, class_counts=class_counts),
        _made("model.loss", loss, class_counts=class_counts),
    )
    if not all(is_ours(type(part)) for part in made):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _try_out(*made, num_features, len(class_counts))
    return made


def length_of_features(backbone: object) -> int:
    """Length D of a backbone's feature vectors.

    Raises:
        UsageError: If it is no network, or its ``num_features`` no whole number above 0.
    """
    if not isinstance(backbone, nn.Module):
        name = backbone.__name__ if isinstance(backbone, type) else repr(backbone)
        raise UsageError(f"`model.backbone` must be a network that is made, such as `ResNet32()`, but got {name}.")
    check_begun("model.backbone", backbone, "_modules")
    found = getattr(backbone, "num_features", None)
    if not isinstance(found, int) or found < 1:
        raise UsageError(
            f"`model.backbone` {type(backbone).__name__} must set `num_features`, the length of a feature vector, but "
            f"it is {found!r}."
        )
    return found


def check_features(features: object, backbone: Backbone) -> Tensor:
    """Refuse features that no classifier can take.

    Args:
        features: What the backbone made of a batch of images.
        backbone: That made them.

    Returns:
        The features, ``(N, D)``.

    Raises:
        UsageError: If they are something else, or D is not what the backbone says.
    """
    width = backbone.num_features
    if isinstance(features, Tensor) and features.ndim == 2 and features.shape[1] == width:
        return features
    raise UsageError(
        f"`model.backbone` {type(backbone).__name__} must give features (N, {width}), as its `num_features` says, but "
        f"gave {kind_of(features)}."
    )


def heeds_weights(loss: Loss) -> bool:
    """Whether class weights change a loss; one of one's own may have forgotten them, and takes them all the same.

    Args:
        loss: Left as it is. It is tried out on a few logits; where it fails on these, the answer is yes.
    """
    if is_ours(type(loss)) or loss.num_classes < 2:
        return True
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(4) % loss.num_classes
    batch = torch.randn(4, loss.num_classes, generator=generator), targets, torch.rand(4, 3, generator=generator)
    values = []
    for weight in (None, 1.0 + 2 * (torch.arange(loss.num_classes) % 2)):
        with torch.random.fork_rng(devices=[]), torch.no_grad(), suppress(Exception):
            tried = deepcopy(loss).cpu().eval()
            tried.set_weight(weight)
            values.append(tried(*batch))
    return len(values) < 2 or not torch.equal(*values)


def _made(key: str, factory: Callable[..., Part], **arguments: Any) -> Part:
    """What a factory makes of arguments, which it is given in their order and not by their names."""
    check_makes(key, factory, nn.Module)
    takes = f"({', '.join(arguments)})"
    of_class = _of_class(factory)
    _check_parameters(key, takes, of_class, list(arguments))
    try:
        with refusing_abstract_classes(), refusing_unbegun_modules(key, takes):
            made = factory(*arguments.values())
    except TypeError as error:
        if _takes(of_class, *arguments.values()):
            raise
        raise UsageError(f"`{key}` is made from {takes}, in this order, but {error}.") from error
    check_begun(key, made, "num_classes", takes)
    tensors = made.named_parameters() if isinstance(made, nn.Module) else ()
    if unknown := [name for name, tensor in tensors if is_lazy(tensor)]:
        raise UsageError(
            f"`{key}` {type(made).__name__} has parameters whose shape only a first batch would tell "
            f"({', '.join(unknown)}); give them their shape in `__init__`, by an argument if need be."
        )
    return made


def _of_class(factory: Callable[..., Any]) -> Callable[..., Any]:
    """A factory of jsonargparse, which takes anything, as one of the class that it makes; others as they are."""
    if isinstance(factory, partial) and comes_from(factory.func, "jsonargparse"):
        return partial(factory.args[-1], **factory.keywords)  # what comes before the class makes it
    return factory


def _check_parameters(key: str, takes: str, factory: Callable[..., Any], names: list[str]) -> None:
    """Refuse what says of its first parameters that they are something else than it will be given."""
    try:
        parameters = _signature(factory).parameters
    except (TypeError, ValueError):  # nobody knows, or the call will say that it takes no such argument
        return
    in_order = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    first = [one for one in parameters.values() if one.kind in in_order][: len(names)]
    if not any(_contradicts(one, name) for one, name in zip(first, names, strict=False)):
        return
    made = factory.func if isinstance(factory, partial) else factory
    wanted = ", ".join(f"{name}: {_TYPES[name]}" for name in names)
    raise UsageError(
        f"`{key}` {getattr(made, '__name__', made)} is made from {takes}, in this order, but takes "
        f"({', '.join(map(str, first))}); let its parameters begin with ({wanted}), where `len(class_counts)` is the "
        f"number of classes."
    )


def _signature(factory: Callable[..., Any]) -> Signature:
    try:
        return signature(factory, eval_str=True)
    except (NameError, AttributeError, SyntaxError):  # of a type that is there for a type checker alone
        return signature(factory)


def _contradicts(parameter: Parameter, wanted: str) -> bool:
    """Whether a parameter's type, default or, where it has neither, name says that it is not the one wanted."""
    annotated, default = parameter.annotation, parameter.default
    if annotated is not parameter.empty and not isinstance(annotated, str):
        return _excludes(annotated, wanted)
    if parameter.name in _TYPES:
        return parameter.name != wanted
    return default not in (parameter.empty, None) and _excludes(type(default), wanted)


def _excludes(annotated: Any, wanted: str) -> bool:
    """Whether nothing of an annotated type can be what is wanted; of types that say little, it can."""
    origin = get_origin(annotated) or annotated
    if origin in (Union, UnionType):
        return all(_excludes(one, wanted) for one in get_args(annotated) if one is not type(None))
    no_type = (Number, str, bytes, dict) if wanted == "class_counts" else (Collection,)
    return isinstance(origin, type) and issubclass(origin, no_type)


def _try_out(head: Head, loss: Loss, num_features: int, num_classes: int) -> None:
    """Give copies of a head and a loss something to do, and look at what comes of it."""
    device = device_of_modules(head, loss)
    rows = 4 if num_classes != 4 else 5  # a square would not show what is turned round
    features = torch.randn(rows, num_features, generator=torch.Generator().manual_seed(0)).abs().to(device)
    targets = torch.arange(rows, device=device) % num_classes
    logits = features.new_zeros(rows, num_classes)
    for method in ("forward", "predict"):
        _check(head, method, {"features": features}, f"logits (N, {num_classes})", logits.shape)
    if loss.reduction != "none":  # which is refused elsewhere
        batch = {"logits": logits, "targets": targets, "features": features}
        with torch.enable_grad():
            logits.requires_grad_()
            features.requires_grad_()  # a loss of features alone is one for stage 1
            value = _check(loss, "forward", batch, "a scalar", torch.Size())
        if value is not None and not value.requires_grad:
            raise UsageError(
                f"`model.loss` {type(loss).__name__} gives a value without a gradient, so nothing could be trained; "
                f"compute it from the logits with torch's operations, without `detach`, `item` or `torch.no_grad`."
            )
    if loss.weight is not None and not heeds_weights(loss):
        raise UsageError(
            f"`model.loss` {type(loss).__name__} is given a `weight` for each class, but does not look at it; leave it "
            f"out, or have the loss end in `self.reduce(losses, targets)`."
        )


def _check(part: Head | Loss, method: str, batch: dict[str, Tensor], wanted: str, shape: torch.Size) -> Tensor | None:
    """What a copy of a part gives for a batch, looked at; ``None`` where it fails on this one."""
    name, features = f"`model.{'head' if isinstance(part, Head) else 'loss'}` {type(part).__name__}", batch["features"]
    try:
        # As in training, which calls heads outside autocast: there a plain `nn.Linear` keeps fp32.
        with torch.autocast("cpu", enabled=False):
            given = getattr(deepcopy(part).to(features.device).eval(), method)(*batch.values())
    except TypeError as error:
        if _takes(getattr(part, method), *batch.values()):
            return None
        raise UsageError(f"{name} is given ({', '.join(batch)}) by `{method}`, but {error}.") from error
    except Exception:  # this is no batch of the data: training will show what is wrong, and where in the user's code
        return None
    if not isinstance(given, Tensor) or given.shape != shape or not given.is_floating_point():
        raise UsageError(
            f"{name} must give {wanted} by `{method}`, but gave {kind_of(given)} for {len(features)} images."
        )
    if isinstance(part, Head) and torch.finfo(given.dtype).bits < 32 <= torch.finfo(features.dtype).bits:
        raise UsageError(
            f"{name} must give logits in fp32 at least by `{method}`, but made {type_of(given)} of features in "
            f"{type_of(features)}; compute them by `lt_lightning.functional.linear(features, weight, bias)`, or from "
            f"`lt_lightning.functional.at_least_fp32(features)`."
        )
    return given


def _takes(call: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a call that has failed takes such arguments, so that its own code was running; yes if nobody knows."""
    try:
        whole = partial(call, *arguments)
        signature(whole.func).bind(*whole.args, **whole.keywords)
    except TypeError:
        return False
    except ValueError:  # a builtin whose signature is not known
        return True
    return True
