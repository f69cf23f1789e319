"""The last linear layer of anybody's module: finding it, what goes into it, putting another in its place."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import is_dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lt_lightning.devices.placement import device_of_modules
from lt_lightning.errors import UsageError
from lt_lightning.wording import first_few, one_line, some

_CLOSE = 0.1  # of the range of an image's logits: how far below the best one half precision may still predict a class
_STANCE = Lock()


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
        images: A batch of ``train_loader``.
        name: The layer, if the caller knows better.

    Raises:
        UsageError: If there is no such layer, or several and none named; or if the model has no weights yet, or others
            than the images go with.

    Warns:
        UserWarning: If the model returns no tensors by which a named layer can be checked.
    """
    layers = {name: layer for name, layer in model.named_modules() if _is_plain(layer)}
    if name is not None and name not in layers:
        found = dict(model.named_modules()).get(name)
        what = "is no part of the model" if found is None else f"is a {type(found).__name__}, no plain nn.Linear"
        raise UsageError(f"`classifier` {name!r} {what}; it has the linear layers {_some(layers)}.")
    lazy = {called: parameter for called, parameter in model.named_parameters() if is_lazy(parameter)}
    given, itself, returned = _run_and_keep(model, images, layers if name is None else {name: layers[name]})
    drawn = [called for called, parameter in lazy.items() if not is_lazy(parameter)]
    if drawn:
        raise UsageError(
            f"`model` {type(model).__name__} has parameters without values ({_some(drawn)}), as its lazy layers have "
            f"seen no image yet; run a batch through it and train it first."
        )
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
        raise UsageError(f"`model` {type(model).__name__} {_why_none(layers, as_wide, name, returned)}")
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


def _why_none(
    layers: Mapping[str, nn.Linear], as_wide: Sequence[str], name: str | None, returned: Sequence[Tensor]
) -> str:
    """Why no linear layer makes the logits of a model, after its name, and what to do.

    Args:
        layers: All that it has.
        as_wide: Those with as many outputs as the model.
        name: The layer that was named.
        returned: What the model returned as logits.
    """
    if not layers:
        return (
            "makes its logits in no nn.Linear, as it has none; retrain a network whose last layer is one, and script "
            "or quantise it afterwards."
        )
    if name is None and not as_wide:
        columns = sorted({output.shape[1] for output in returned})
        sizes = [f"{called!r} has {layer.out_features}" for called, layer in layers.items()]
        why = f"that gets one vector for each image (it has {_some(layers)})"
        if columns and not any(layer.out_features in columns for layer in layers.values()):
            why = f"as wide as its output, of {' or '.join(map(str, columns))} columns ({first_few(sizes)})"
        return (
            f"makes its logits in no nn.Linear {why}; retrain a network whose last layer is one, or name it by "
            f"`classifier`."
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
    steps = torch.linspace(-1, 1, logits.shape[-1], device=logits.device).to(logits).expand_as(logits)
    turned = torch.empty_like(logits).scatter_(-1, logits.argsort(dim=-1, descending=True, stable=True), steps)
    for others in (turned, -turned):
        follows = _follow(model, images, layer, others, follows, predicts=True)
    # An offset shows where there is next to nothing to add it to, and a factor where logits are next to equal.
    for others in (turned / 2048, -turned / 2048, 1 + turned / 64, 1 - turned / 64):
        follows = _follow(model, images, layer, others, follows, predicts=False)
    return follows


def _follow(
    model: nn.Module, images: Tensor, layer: nn.Module, logits: Tensor, follows: Sequence[bool], predicts: bool
) -> list[bool]:
    """Which of the outputs that have followed a layer so far follow it where it gives other logits."""
    outputs = [output for output in _returned_with(model, images, layer, logits) if output.shape == logits.shape]
    pairs = zip(follows, outputs, strict=True)
    return [so_far and _same_order(logits, output, predicts) for so_far, output in pairs]


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
    known = logits.isfinite().all(dim=-1)  # of other images there is nothing to compare
    logits, output = logits[known].cpu().double(), output[known].cpu().nan_to_num()
    slack, output = _rounding(output).double(), output.double()
    ordered = output.gather(-1, logits.argsort(dim=-1))
    rises = ordered >= ordered.cummax(dim=-1).values - slack
    if not predicts:
        return bool(rises.all())
    predicted = logits.gather(-1, output.argmax(dim=-1, keepdim=True))
    low, high = logits.aminmax(dim=-1, keepdim=True)
    return bool(rises.all()) and bool((predicted >= high - _CLOSE * (high - low)).all())


def _rounding(output: Tensor) -> Tensor:
    """How far apart two classes of an image may be in an output for which they are equal, ``(N, 1)``."""
    return 4 * torch.finfo(output.dtype).eps * output.abs().amax(dim=-1, keepdim=True)


def _run_eagerly(model: nn.Module, images: Tensor, argument: str = "train_loader") -> Any:
    """What a module returns. Code that was compiled before would not know of hooks that it got since.

    Raises:
        UsageError: If the images are of a type that the module's weights do not go with.
    """
    # A stance is the whole process's, and stays for good if threads leave it in another order than they entered it.
    with _STANCE, torch.compiler.set_stance("force_eager"):
        try:
            return model(images)
        except RuntimeError as error:
            types = {str(parameter.dtype) for parameter in model.parameters() if parameter.is_floating_point()}
            if not types or str(images.dtype) in types or "type" not in str(error):
                raise
            raise UsageError(
                f"`{argument}` gives images in {images.dtype}, and `model` {type(model).__name__} has weights in "
                f"{' and '.join(sorted(types))} ({one_line(error, 200)}); convert the images, or the model, to "
                f"the other's type."
            ) from error


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
            image, the model predicts other classes than the layer, or there is no batch.
    """
    seen: list[Tensor] = []
    given: list[Tensor] = []

    def hook(_: nn.Module, args: tuple[Tensor, ...], options: dict[str, Tensor], logits: Tensor) -> None:
        seen.append((args[0] if args else options["input"]).detach())
        given.append(logits.clone())  # what follows may change it in its place

    features, targets = [], []
    with model.get_submodule(name).register_forward_hook(hook, with_kwargs=True, prepend=True):
        for batch in loader:
            images, classes = images_and_classes(batch, argument)
            seen.clear()
            given.clear()
            returned = _logits(_run_eagerly(model, images.to(device_of_modules(model)), argument))
            if len(seen) != 1 or seen[0].ndim != 2 or len(seen[0]) != len(classes):
                found = ", ".join(str(tuple(one.shape)) for one in seen) or "nothing"
                raise UsageError(
                    f"`classifier` {name!r} must be given one feature vector for each image, but for {len(classes)} "
                    f"images it was given {found}."
                )
            as_wide = [output for output in returned if output.shape == given[0].shape]
            if others := min((_predicted_otherwise(given[0], output) for output in as_wide), default=0):
                raise UsageError(
                    f"`model` {type(model).__name__} predicts other classes than its nn.Linear {name!r} for {others} "
                    f"of {len(classes)} images in a batch of `{argument}`, though not in the first of `train_loader`; "
                    f"leave off what follows that layer."
                )
            features.append(seen[0].cpu().to(torch.promote_types(seen[0].dtype, torch.float32)))
            targets.append(classes.cpu())
    if not features:
        raise UsageError(f"`{argument}` has no batches; give (images, targets) batches.")
    if not any(map(len, targets)):
        raise UsageError(f"`{argument}` has no images in its batches; give (images, targets) batches that have some.")
    return torch.cat(features), torch.cat(targets).long()


def _predicted_otherwise(logits: Tensor, output: Tensor) -> int:
    """Images for which an output holds another class for the best than logits do, by more than rounding."""
    known = logits.isfinite().all(dim=-1)  # of other images there is nothing to compare
    logits, output = logits[known], output[known].nan_to_num()
    predicted = output.gather(-1, logits.argmax(dim=-1, keepdim=True))
    return int((predicted < output.amax(dim=-1, keepdim=True) - _rounding(output)).sum())


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


def with_last_linear(model: nn.Module, name: str, layer: nn.Linear, images: Tensor) -> nn.Module:
    """A copy of a module with another linear layer in the place of one; the module itself stays as it is.

    The new layer is of the old one's type, on its device, has its hooks, and trains if that did. A bias that only the
    old one has becomes 0, so that all keys stay; one that only the new one has is added. What computes the old weight
    from other tensors (weight normalisation, pruning) goes, and hooks with it. Other layers that share the old one's
    tensors share the new one's.

    Args:
        model: As it was given.
        name: Of the layer in it.
        layer: The new one.
        images: A batch that the model takes.

    Raises:
        UsageError: If the module cannot be copied.

    Warns:
        UserWarning: If another layer keeps the old tensors, as the new ones in it would change predictions.
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
    like, trains, shared = old.weight, old.weight.requires_grad, {"weight": old.weight, "bias": old.bias}
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
    named = list(copy.named_parameters(remove_duplicate=False))
    ties = {called: key for key, tensor in shared.items() for called, parameter in named if parameter is tensor}
    return _with_ties(copy, name, ties, images) if ties else copy


def _with_ties(model: nn.Module, name: str, ties: Mapping[str, str], images: Tensor) -> nn.Module:
    """A copy of a module that shares tensors of a layer again, if the layer then gives what it gave.

    Where tensors are one, the last of their keys in a state dict decides: old ones would come back.

    Args:
        model: Has a new layer, and old tensors in other places.
        name: Of the layer.
        ties: Of these tensors by their names: ``weight`` or ``bias``.
        images: A batch that the model takes.
    """
    tied = copied(model)
    layer = tied.get_submodule(name)
    for called, key in ties.items():
        module, _, own = called.rpartition(".")
        setattr(tied.get_submodule(module), own, getattr(layer, key))
    if torch.allclose(_given(model, name, images), _given(tied, name, images), equal_nan=True):
        return tied
    warnings.warn(
        f"`model` {type(model).__name__} shares tensors of its nn.Linear {name!r} with {_some(ties)}, which keep the "
        f"old values, as the new ones would change what that layer is given; load state dicts of the new module only "
        f"where these are tensors of their own.",
        stacklevel=4,  # the call of `retrain`
    )
    return model


def _given(model: nn.Module, name: str, images: Tensor) -> Tensor:
    """What a layer gives in evaluation, where whatever is drawn there is the same each time."""
    model = copied(model).eval()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        return _run_and_keep(model, images, {name: model.get_submodule(name)})[0][name]


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
