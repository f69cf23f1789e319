"""The last linear layer of anybody's module: finding it, what goes into it, putting another in its place."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lt_lightning.devices.placement import device_of_modules
from lt_lightning.errors import UsageError
from lt_lightning.wording import one_line, some

_CLOSE = 0.1  # of the range of an image's logits: how far below the best one half precision may still predict a class


def copied(model: nn.Module) -> nn.Module:
    """A copy of a module, to be run or changed in its place.

    Raises:
        UsageError: If the module cannot be copied.
    """
    # What pruning computes a weight to is an attribute with a graph, and torch copies no such tensor.
    computed = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    try:
        return deepcopy(model, {id(value): value.detach().clone() for value in computed if not value.is_leaf})
    except (TypeError, RuntimeError, AttributeError) as error:
        reason = one_line(error, 200)
        raise UsageError(
            f"`model` {type(model).__name__} cannot be copied ({reason}), and a copy gets the new layer; take from it "
            f"what `copy.deepcopy` refuses."
        ) from error


@torch.no_grad()
def find_last_linear(model: nn.Module, images: Tensor, name: str | None = None) -> str:
    """Name of the linear layer that makes the logits, as ``model.named_modules()`` has it.

    It alone decides: whatever it gives, the model predicts the same. A prior or a second head would decide too.

    Args:
        model: Is run a few times as it is; give a copy in evaluation mode.
        images: A batch that it takes.
        name: The layer, if the caller knows better.

    Raises:
        UsageError: If there is no such layer, or several and none named.

    Warns:
        UserWarning: If the model returns no tensors by which a named layer can be checked.
    """
    layers = {name: layer for name, layer in model.named_modules() if _is_plain(layer)}
    if name is not None and name not in layers:
        found = dict(model.named_modules()).get(name)
        what = "is no part of the model" if found is None else f"is a {type(found).__name__}, no plain nn.Linear"
        raise UsageError(f"`classifier` {name!r} {what}; it has the linear layers {_some(layers)}.")
    given, itself, returned = _run_and_keep(model, images, layers if name is None else {name: layers[name]})
    if name is not None and name not in given:
        return name  # `inputs_of` says what it is given instead of a vector for each image
    if name is not None and not any(output.shape == given[name].shape for output in returned):
        warnings.warn(
            f"`classifier` {name!r} cannot be checked, as `model` {type(model).__name__} returns no tensor as wide; "
            f"see to it that nothing after this layer changes its predictions.",
            stacklevel=5,  # the call of `retrain`
        )
        return name
    decides = {called: _decides(model, images, layers[called], logits, returned) for called, logits in given.items()}
    fitting = [called for called, outputs in decides.items() if any(outputs)]
    if not fitting:
        as_wide = [called for called, outputs in decides.items() if outputs]
        raise UsageError(f"`model` {type(model).__name__} {_why_none(layers, as_wide, name)}")
    if name is None and len(fitting) > 1:
        as_returned = [called for called in fitting if called in itself]  # beside features, which are returned too
        fitting = as_returned if len(as_returned) == 1 else fitting
    if name is None and (len(fitting) > 1 or not _all_decided(fitting[0], decides, given)):
        raise UsageError(
            f"`model` {type(model).__name__} does not show by its outputs which linear layer makes its logits, and "
            f"{_some(fitting)} may; name the one to retrain by `classifier`."
        )
    return fitting[0]


def _all_decided(name: str, decides: Mapping[str, list[bool]], given: Mapping[str, Tensor]) -> bool:
    """Whether each output as wide as a layer's is decided by that layer, or by another one as wide."""
    alike = [decides[called] for called, logits in given.items() if logits.shape == given[name].shape]
    return all(map(any, zip(*alike, strict=True)))


def _why_none(layers: Iterable[str], as_wide: Sequence[str], name: str | None) -> str:
    """Why no linear layer makes the logits of a model, after its name, and what to do.

    Args:
        layers: All that it has.
        as_wide: Those with as many outputs as the model.
        name: The layer that was named.
    """
    if name is None and not as_wide:
        return (
            f"makes its logits in no nn.Linear that gets one vector for each image (it has {_some(layers)}); retrain a "
            f"network whose last layer is one, or name it by `classifier`."
        )
    advice = "" if name is None else "name another layer by `classifier`, "
    return (
        f"predicts other classes than its nn.Linear {_some(as_wide if name is None else [name])}; {advice}leave off "
        f"what follows that layer, such as a prior or the mean with another head, or retrain a network whose last "
        f"layer is an nn.Linear."
    )


def _run_and_keep(
    model: nn.Module, images: Tensor, layers: Mapping[str, nn.Module]
) -> tuple[dict[str, Tensor], set[str], list[Tensor]]:
    """What layers give, as far as that is one vector for each image.

    Then those of them whose output the model returns as it is, and what it returns as logits.
    """
    given: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def keep(called: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            if output.ndim == 2:
                outputs[called] = output
                given[called] = output.clone()  # what follows may change it in its place

        return hook

    # First of all hooks: those that a layer has stay, and so follow the new layer too.
    handles = [layer.register_forward_hook(keep(called), prepend=True) for called, layer in layers.items()]
    returned = _logits(_run_eagerly(model, images))
    for handle in handles:
        handle.remove()
    itself = {called for called, output in outputs.items() if any(output is one for one in returned)}
    return given, itself, returned


def _decides(
    model: nn.Module, images: Tensor, layer: nn.Module, logits: Tensor, returned: Sequence[Tensor]
) -> list[bool]:
    """Whether each output that is as wide as a layer's predicts what the layer does, whatever that is.

    Args:
        model: To be run again.
        images: It was run on.
        layer: Of it.
        logits: That the layer gave.
        returned: What the model returned as logits.
    """
    follows = [_same_order(logits, output) for output in returned if output.shape == logits.shape]
    if not any(follows):
        return follows
    # Another head may agree on a few images. It does not turn round with the layer, nor back.
    steps = torch.linspace(-1, 1, logits.shape[-1]).to(logits).expand_as(logits)
    turned = torch.empty_like(logits).scatter_(-1, logits.argsort(dim=-1, descending=True, stable=True), steps)
    for others in (turned, -turned):
        outputs = [output for output in _returned_with(model, images, layer, others) if output.shape == logits.shape]
        follows = [
            so_far and _same_order(others, output, predicts=True)
            for so_far, output in zip(follows, outputs, strict=True)
        ]
    return follows


def _returned_with(model: nn.Module, images: Tensor, layer: nn.Module, logits: Tensor) -> list[Tensor]:
    """What a model returns as logits where a layer of it gives others."""
    with layer.register_forward_hook(lambda *_: logits.clone(), prepend=True):
        return _logits(_run_eagerly(model, images))


def _same_order(logits: Tensor, output: Tensor, predicts: bool = False) -> bool:
    """Whether an output orders the classes of each image as logits do, as a softmax or a temperature leaves them.

    Classes that the output holds for equal may stand in any order.

    Args:
        logits: Of a layer.
        output: Of a model.
        predicts: Whether the first class must be first among the logits too, or, as half precision rounds, close to it:
            if these are far enough from each other that no output may hold all classes for equal.
    """
    rounding = torch.finfo(output.dtype).eps
    known = logits.isfinite().all(dim=-1)  # of other images there is nothing to compare
    logits, output = logits[known].cpu().double(), output[known].cpu().nan_to_num().double()
    ordered = output.gather(-1, logits.argsort(dim=-1))
    slack = 4 * rounding * ordered.abs().amax(dim=-1, keepdim=True)
    rises = ordered >= ordered.cummax(dim=-1).values - slack
    if not predicts:
        return bool(rises.all())
    predicted = logits.gather(-1, output.argmax(dim=-1, keepdim=True))
    low, high = logits.aminmax(dim=-1, keepdim=True)
    return bool(rises.all()) and bool((predicted >= high - _CLOSE * (high - low)).all())


def _run_eagerly(model: nn.Module, images: Tensor) -> Any:
    """What a module returns. Code that was compiled before would not know of hooks that it got since."""
    with torch.compiler.set_stance("force_eager"):
        return model(images)


@torch.no_grad()
def inputs_of(model: nn.Module, name: str, loader: Iterable[Any], argument: str) -> tuple[Tensor, Tensor]:
    """What goes into a linear layer over all batches.

    Args:
        model: Is run on every batch as it is, on its own device; give a copy in evaluation mode.
        name: Of the layer.
        loader: Batches of images and targets.
        argument: What the loader is called where it was given, for messages.

    Returns:
        Inputs ``(N, D)``, fp32 at least, and targets ``(N,)``, int64, on the CPU.

    Raises:
        UsageError: If a batch is no pair of images and classes, the layer has another input than one vector for each
            image, or there is no batch.
    """
    seen: list[Tensor] = []

    def hook(_: nn.Module, args: tuple[Tensor, ...], options: dict[str, Tensor]) -> None:
        seen.append((args[0] if args else options["input"]).detach())

    features, targets = [], []
    with model.get_submodule(name).register_forward_pre_hook(hook, with_kwargs=True):
        for batch in loader:
            images, classes = images_and_classes(batch, argument)
            seen.clear()
            _run_eagerly(model, images.to(device_of_modules(model)))
            if len(seen) != 1 or seen[0].ndim != 2 or len(seen[0]) != len(classes):
                found = ", ".join(str(tuple(one.shape)) for one in seen) or "nothing"
                raise UsageError(
                    f"`classifier` {name!r} must be given one feature vector for each image, but for {len(classes)} "
                    f"images it was given {found}."
                )
            features.append(seen[0].cpu().to(torch.promote_types(seen[0].dtype, torch.float32)))
            targets.append(classes.cpu())
    if not features:
        raise UsageError(f"`{argument}` has no batches; give (images, targets) batches.")
    if not any(map(len, targets)):
        raise UsageError(f"`{argument}` has no images in its batches; give (images, targets) batches that have some.")
    return torch.cat(features), torch.cat(targets).long()


def images_and_classes(batch: Any, argument: str) -> tuple[Tensor, Tensor]:
    """The two parts of a batch.

    Raises:
        UsageError: If it has others.
    """
    if (
        not isinstance(batch, (tuple, list))
        or len(batch) != 2
        or not all(isinstance(part, Tensor) for part in batch)
        or batch[1].ndim != 1
        or batch[1].is_floating_point()
        or len(batch[0]) != len(batch[1])
    ):
        if isinstance(batch, Mapping):
            what = f"a dictionary with {_some(list(map(str, batch)))}"
        elif isinstance(batch, (tuple, list)):
            parts = (f"{type(part).__name__} {tuple(getattr(part, 'shape', ()))}" for part in batch)
            what = f"{type(batch).__name__} of {', '.join(parts) or 'nothing'}"
        else:
            what = type(batch).__name__
        raise UsageError(
            f"`{argument}` must give batches (images, targets): a tensor of images and a tensor with the number of "
            f"each one's class, but gave {what}; give a list of such pairs, or an object whose `__iter__` yields them."
        )
    return batch[0], batch[1]


def with_last_linear(model: nn.Module, name: str, layer: nn.Linear) -> nn.Module:
    """A copy of a module with another linear layer in the place of one; the module itself stays as it is.

    The new layer is of the old one's type, on its device, has its hooks, and trains if that did. A bias that only the
    old one has becomes 0, so that all keys stay; one that only the new one has is added. What computes the old weight
    from other tensors (weight normalisation, pruning) goes, and hooks with it.

    Raises:
        UsageError: If the module cannot be copied.
    """
    copy = copied(model)
    old = copy.get_submodule(name)
    assert isinstance(old, nn.Linear)
    bias = bias_of(layer)
    if bias is None and bias_of(old) is not None:
        bias = torch.zeros(layer.out_features)
    # Hooks and attributes stay with the old layer. What makes its weight out of other tensors would do so again.
    own = set(old.state_dict()) <= {"weight", "bias"}
    new = old if own else nn.Linear(layer.in_features, layer.out_features, bias=bias is not None, device="meta")
    like, trains = old.weight, old.weight.requires_grad
    for key, value in {"weight": layer.weight.detach(), "bias": bias}.items():
        if value is not None:
            values = torch.empty_like(value, dtype=like.dtype, device=like.device).copy_(value)
            setattr(new, key, nn.Parameter(values, requires_grad=trains))
    new.train(old.training)
    if name == "":
        return new
    for module in copy.modules():
        for called, child in list(module._modules.items()):
            if child is old:  # under whatever names
                setattr(module, called, new)
    return copy


def bias_of(layer: nn.Linear) -> Tensor | None:
    """Its bias, without a graph."""
    return None if layer.bias is None else layer.bias.detach()  # torch's annotation says that it has one


def _is_plain(layer: nn.Module) -> bool:
    # A derived class may do more, such as dividing by norms.
    return isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward


def _logits(output: Any) -> list[Tensor]:
    """What may be logits in what a model returns: what is called so or, if nothing is, vectors of any name."""
    called = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    return [
        tensor
        for tensor in _tensors(output if called is None else called)
        if tensor.ndim == 2 and tensor.is_floating_point()
    ]


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for part in output.values():
            yield from _tensors(part)
    elif isinstance(output, (tuple, list)):
        for part in output:
            yield from _tensors(part)
    elif is_dataclass(output) and not isinstance(output, type):
        yield from _tensors(vars(output))


def _some(names: Iterable[str]) -> str:
    return some(list(names), most=5) or "none"
