"""Copying a module and running it, whatever it is and returns."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import is_dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.wording import one_line, some

_STANCE = Lock()


def copied(model: nn.Module) -> nn.Module:
    """A copy of a module, to be run or changed in its place.

    Raises:
        UsageError: If the module cannot be copied.
    """
    # Pruning keeps computed weights as attributes with a graph, and torch copies no such tensors.
    computed = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    try:
        return deepcopy(model, {id(value): value.detach().clone() for value in computed if not value.is_leaf})
    except (TypeError, RuntimeError, AttributeError) as error:
        reason = one_line(error, 200)
        raise UsageError(
            f"`model` {type(model).__name__} cannot be copied ({reason}), and a copy gets the new layer; take from it "
            f"what `copy.deepcopy` refuses."
        ) from error


def run_and_keep(
    model: nn.Module, images: Tensor, layers: Mapping[str, nn.Module]
) -> tuple[dict[str, Tensor], set[str], list[Tensor]]:
    """What each layer gives, by name, of those that give one vector for each image.

    Also the names of those whose output the model returns as it is, and what it returns as logits.
    """
    given: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def keep(called: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            if output.ndim == 2:
                outputs[called] = output
                given[called] = output.clone()  # what follows may change it in its place

        return hook

    # Before the layer's own hooks: these stay, and will follow the new layer too.
    handles = [layer.register_forward_hook(keep(called), prepend=True) for called, layer in layers.items()]
    returned = logits_of(run_eagerly(model, images))
    for handle in handles:
        handle.remove()
    itself = {called for called, output in outputs.items() if any(output is one for one in returned)}
    return given, itself, returned


def run_eagerly(model: nn.Module, images: Tensor, argument: str = "train_loader") -> Any:
    """What a module returns, run uncompiled: compiled code would miss hooks added since.

    Raises:
        UsageError: If the images are of a type that the module's weights do not go with.
    """
    # The stance is global, and would stay for good if threads left it in another order than they entered it.
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


def logits_of(output: Any) -> list[Tensor]:
    """What may be logits in a model's output: what is called ``logits`` or, if nothing is, vectors of any name."""
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


def rounding(output: Tensor) -> Tensor:
    """How far apart two classes of an image may be in an output for which they are equal, ``(N, 1)``."""
    return 4 * torch.finfo(output.dtype).eps * output.abs().amax(dim=-1, keepdim=True)


def some_of(names: Iterable[str]) -> str:
    """The first of several names, for a sentence."""
    return some(list(names), most=5) or "none"
