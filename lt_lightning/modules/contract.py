"""Whether heads, losses and backbones of one's own keep their side of the contract, asked before anything trains."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lt_lightning.backbones import Backbone
from lt_lightning.errors import UsageError, check_makes, refusing_abstract_classes
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.wording import is_ours

Part = TypeVar("Part")

_PASSING_ON = {"functools", "jsonargparse", "lightning", "lt_lightning", "torch"}
"""Packages whose frames lie between a call and a part's own code."""


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
        _made("model.head", "(in_features, class_counts)", head, num_features, class_counts),
        _made("model.loss", "(class_counts)", loss, class_counts),
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
        f"gave {_kind(features)}."
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


def device_of(*parts: nn.Module) -> torch.device:
    """The device of modules; the CPU's if they have no tensors."""
    tensors = (tensor for part in parts for tensor in (*part.parameters(), *part.buffers()))
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _made(key: str, takes: str, factory: Callable[..., Part], *arguments: Any) -> Part:
    check_makes(key, factory, nn.Module)
    begins = f"must begin its `__init__` with `super().__init__{takes}`, that of its base class."
    try:
        with refusing_abstract_classes():
            made = factory(*arguments)
    except AttributeError as error:
        if "before Module.__init__() call" not in str(error):
            raise
        raise UsageError(f"`{key}`, or a module in it, {begins}") from error
    except TypeError as error:
        if not _by_the_call(error):
            raise
        raise UsageError(f"`{key}` is made from {takes}, in this order, but {error}.") from error
    if not hasattr(made, "num_classes"):
        raise UsageError(f"`{key}` {type(made).__name__} {begins}")
    tensors = made.named_parameters() if isinstance(made, nn.Module) else ()
    if unknown := [name for name, tensor in tensors if is_lazy(tensor)]:
        raise UsageError(
            f"`{key}` {type(made).__name__} has parameters whose shape only a first batch would tell "
            f"({', '.join(unknown)}); give them their shape in `__init__`, by an argument if need be."
        )
    return made


def _try_out(head: Head, loss: Loss, num_features: int, num_classes: int) -> None:
    """Give copies of a head and a loss something to do, and look at what comes of it."""
    device = device_of(head, loss)
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
        if _by_the_call(error):
            raise UsageError(f"{name} is given ({', '.join(batch)}) by `{method}`, but {error}.") from error
        return None
    except Exception:  # this is no batch of the data: training will show what is wrong, and where in the user's code
        return None
    if not isinstance(given, Tensor) or given.shape != shape or not given.is_floating_point():
        raise UsageError(
            f"{name} must give {wanted} by `{method}`, but gave {_kind(given)} for {len(features)} images."
        )
    if isinstance(part, Head) and torch.finfo(given.dtype).bits < 32 <= torch.finfo(features.dtype).bits:
        raise UsageError(
            f"{name} must give logits in fp32 at least by `{method}`, but made {_type(given)} of features in "
            f"{_type(features)}; compute them by `lt_lightning.functional.linear(features, weight, bias)`, or from "
            f"`lt_lightning.functional.at_least_fp32(features)`."
        )
    return given


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _kind(given: object) -> str:
    if isinstance(given, Tensor):
        return f"a tensor of shape {tuple(given.shape)} and type {_type(given)}"
    return f"a {type(given).__name__}" if given is not None else "nothing"


def _by_the_call(error: TypeError) -> bool:
    """Whether nobody's own code was running: the arguments did not suit."""
    place = error.__traceback__
    while place is not None:
        if place.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in _PASSING_ON:
            return False
        place = place.tb_next
    return True
