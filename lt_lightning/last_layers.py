"""The last linear layer of anybody's module: finding it, what goes into it, putting another in its place."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lt_lightning.devices.placement import device_of_modules
from lt_lightning.errors import UsageError
from lt_lightning.wording import one_line, some


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

    The one whose output is the model's is taken; where something follows it, the only one with as many outputs.

    Args:
        model: Is run once as it is; give a copy in evaluation mode.
        images: A batch that it takes.
        name: The layer, if the caller knows better.

    Raises:
        UsageError: If there is no such layer, or several and none named.
    """
    layers = {name: layer for name, layer in model.named_modules() if _is_plain(layer)}
    if name is not None:
        if name not in layers:
            found = dict(model.named_modules()).get(name)
            what = "is no part of the model" if found is None else f"is a {type(found).__name__}, no plain nn.Linear"
            raise UsageError(f"`classifier` {name!r} {what}; it has the linear layers {_some(layers)}.")
        return name
    outputs: dict[str, Tensor] = {}

    def keep(called: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            outputs[called] = output

        return hook

    handles = [layer.register_forward_hook(keep(called)) for called, layer in layers.items()]
    made = list(_tensors(model(images)))
    for handle in handles:
        handle.remove()
    sizes = {tensor.shape[-1] for tensor in made if tensor.ndim}
    fitting = [called for called, output in outputs.items() if any(output is tensor for tensor in made)]
    fitting = fitting or [called for called, output in outputs.items() if output.shape[-1] in sizes]
    if not fitting:
        raise UsageError(
            f"`model` {type(model).__name__} makes its logits in no nn.Linear (it has {_some(layers)}); retrain a "
            f"network whose last layer is one, or name it by `classifier`."
        )
    if len(fitting) > 1:
        raise UsageError(
            f"`model` {type(model).__name__} has several linear layers that may make its logits, {_some(fitting)}; "
            f"name the one to retrain by `classifier`."
        )
    return fitting[0]


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
            model(images.to(device_of_modules(model)))
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
