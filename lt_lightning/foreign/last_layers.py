"""Finding the linear layer that makes a module's logits."""

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lt_lightning.errors import UsageError
from lt_lightning.foreign.running import logits_of, rounding, run_and_keep, run_eagerly, some_of
from lt_lightning.wording import first_few

_CLOSE = 0.1  # of the range of an image's logits: how far below the best one half precision may still predict a class


@torch.no_grad()
def find_last_linear(model: nn.Module, images: Tensor, name: str | None = None) -> str:
    """Name of the linear layer that makes the logits, as ``model.named_modules()`` has it.

    It alone decides: whatever it gives, the model predicts the same. With a prior or a second head it would not.

    Args:
        model: Run a few times as it is; give a copy in evaluation mode.
        images: A batch of ``train_loader``.
        name: The layer, if it is known.

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
        raise UsageError(f"`classifier` {name!r} {what}; it has the linear layers {some_of(layers)}.")
    lazy = {called: parameter for called, parameter in model.named_parameters() if is_lazy(parameter)}
    given, itself, returned = run_and_keep(model, images, layers if name is None else {name: layers[name]})
    drawn = [called for called, parameter in lazy.items() if not is_lazy(parameter)]
    if drawn:
        raise UsageError(
            f"`model` {type(model).__name__} has parameters without values ({some_of(drawn)}), as its lazy layers have "
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
            f"{some_of(fitting)} may; name the one to retrain by `classifier`."
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
        why = f"that gets one vector for each image (it has {some_of(layers)})"
        if columns and not any(layer.out_features in columns for layer in layers.values()):
            why = f"as wide as its output, of {' or '.join(map(str, columns))} columns ({first_few(sizes)})"
        return (
            f"makes its logits in no nn.Linear {why}; retrain a network whose last layer is one, or name it by "
            f"`classifier`."
        )
    advice = "" if name is None else "name another layer by `classifier`, "
    return (
        f"predicts other classes than its nn.Linear {some_of(as_wide if name is None else [name])}; {advice}leave off "
        f"what follows that layer, such as a prior or the mean with another head, or retrain a network whose last "
        f"layer is an nn.Linear."
    )


def _decides(
    model: nn.Module, images: Tensor, layer: nn.Module, logits: Tensor, returned: Sequence[Tensor]
) -> list[bool]:
    """Whether each output as wide as a layer's predicts what the layer predicts, whatever the layer gives.

    Args:
        model: Run again several times.
        images: What it was run on.
        layer: A layer of the model.
        logits: What the layer gave.
        returned: What the model returned as logits.
    """
    follows = [_same_order(logits, output) for output in returned if output.shape == logits.shape]
    if not any(follows):
        return follows
    # Another head may agree on a few images, but does not follow when the layer's order is reversed.
    steps = torch.linspace(-1, 1, logits.shape[-1], device=logits.device).to(logits).expand_as(logits)
    turned = torch.empty_like(logits).scatter_(-1, logits.argsort(dim=-1, descending=True, stable=True), steps)
    for others in (turned, -turned):
        follows = _follow(model, images, layer, others, follows, predicts=True)
    # An added offset shows where logits are next to 0, and a factor where they are next to equal.
    for others in (turned / 2048, -turned / 2048, 1 + turned / 64, 1 - turned / 64):
        follows = _follow(model, images, layer, others, follows, predicts=False)
    return follows


def _follow(
    model: nn.Module, images: Tensor, layer: nn.Module, logits: Tensor, follows: Sequence[bool], predicts: bool
) -> list[bool]:
    """Which of the outputs that have followed a layer so far still do if it gives ``logits``."""
    outputs = [output for output in _returned_with(model, images, layer, logits) if output.shape == logits.shape]
    pairs = zip(follows, outputs, strict=True)
    return [so_far and _same_order(logits, output, predicts) for so_far, output in pairs]


def _returned_with(model: nn.Module, images: Tensor, layer: nn.Module, logits: Tensor) -> list[Tensor]:
    """What a model returns as logits if one of its layers gives ``logits``."""
    with layer.register_forward_hook(lambda *_: logits.clone(), prepend=True):
        return logits_of(run_eagerly(model, images))


def _same_order(logits: Tensor, output: Tensor, predicts: bool = False) -> bool:
    """Whether an output orders each image's classes as logits do; a softmax or a temperature keeps the order.

    Classes that are equal in the output may be in any order.

    Args:
        logits: Of a layer.
        output: Of a model.
        predicts: Whether the output's first class must be first among the logits too or, as half precision rounds,
            close to it; for logits so far apart that no output may hold all classes equal.
    """
    known = logits.isfinite().all(dim=-1)  # of other images there is nothing to compare
    logits, output = logits[known].cpu().double(), output[known].cpu().nan_to_num()
    slack, output = rounding(output).double(), output.double()
    ordered = output.gather(-1, logits.argsort(dim=-1))
    rises = ordered >= ordered.cummax(dim=-1).values - slack
    if not predicts:
        return bool(rises.all())
    predicted = logits.gather(-1, output.argmax(dim=-1, keepdim=True))
    low, high = logits.aminmax(dim=-1, keepdim=True)
    return bool(rises.all()) and bool((predicted >= high - _CLOSE * (high - low)).all())


def _is_plain(layer: nn.Module) -> bool:
    # A derived class may do more, such as dividing by norms.
    return isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward
