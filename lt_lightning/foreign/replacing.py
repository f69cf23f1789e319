"""Putting another linear layer in the place of one."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lt_lightning.foreign.running import copied, run_and_keep, some_of


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
    # The old layer goes on, with its hooks and attributes, unless it computes its weight: it would do so again.
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

    The last key of a shared tensor in a state dict decides its value: old values would come back.

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
        f"`model` {type(model).__name__} shares tensors of its nn.Linear {name!r} with {some_of(ties)}, which keep the "
        f"old values, as the new ones would change what that layer is given; load state dicts of the new module only "
        f"where these are tensors of their own.",
        stacklevel=4,  # the call of `retrain`
    )
    return model


def _given(model: nn.Module, name: str, images: Tensor) -> Tensor:
    """What a layer gives in evaluation mode, with the same random draws each time."""
    model = copied(model).eval()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        return run_and_keep(model, images, {name: model.get_submodule(name)})[0][name]


def bias_of(layer: nn.Linear) -> Tensor | None:
    """Its bias, without a graph."""
    return None if layer.bias is None else layer.bias.detach()  # torch's annotation says that it has one
