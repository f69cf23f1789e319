"""What a file's network has beside backbone and classifier, as far as its logits may pass through it."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lt_lightning.checkpoints.classifier import Classifier, shared_start
from lt_lightning.checkpoints.matching import Match
from lt_lightning.checkpoints.reading import memory_of

# Tensors of losses and metrics, which Lightning modules keep beside their network.
_NO_LAYER = re.compile(r"^(module\.|model\.)*\w*(criterion|loss|loss_fn|loss_function|metrics?|accuracy|acc)\.")
# Auxiliary classifiers of torchvision's GoogLeNet and Inception v3, which only training uses.
_AUXILIARY = re.compile(r"(^|\.)(aux[12]\.(conv\.(conv|bn)|fc[12])|AuxLogits\.(conv[01]\.(conv|bn)|fc))\.\w+$")
# Weights of layers, `original1` being weight normalisation's; of a batch normalisation without weights its mean.
_WEIGHT = re.compile(r"(^|\.)(\w*weight\w*|running_mean)(\.original\d)?$")


def unexpected(found: Match, classifier: Classifier) -> list[str]:
    """Tensors of the file's network that are neither the backbone's nor the classifier's.

    A deeper network of the same family has every key of the shallower one, and more: only these tell the two apart.
    Layers between backbone and classifier are among them: those before it in its ``nn.Sequential``, and parts beside
    it that end as wide as its input is, whatever they are called. A part that ends in another width or in a convolution
    over several pixels is a branch of its own, and so is what stands beside a copy of the backbone. Counts, such as how
    many weights an average is of, are no layers.
    """
    beside = (f"{classifier.name}.", *found.copies)
    own = {memory_of(found.rest[key]) for key in classifier.keys}
    others = {
        key: tensor
        for key, tensor in found.rest.items()
        if memory_of(tensor) not in own
        and not key.startswith(beside)
        and not _is_count(tensor)
        and not _NO_LAYER.search(key)
        and not _AUXILIARY.search(key)
    }
    between = _between(others, found, classifier)
    return [
        key
        for key, tensor in others.items()
        if key.startswith(found.prefix) or key in between or _feeds(key, tensor, classifier)
    ]


def _is_count(tensor: Tensor) -> bool:
    return tensor.ndim == 0 and not tensor.is_floating_point()


def _feeds(key: str, tensor: Tensor, classifier: Classifier) -> bool:
    """Whether a tensor is of an earlier layer of the classifier's own sequence, as wide as its input is."""
    sequence, _, place = classifier.name.rpartition(".")
    if not (sequence and place.isdigit() and key.startswith(f"{sequence}.")):
        return False
    number = key.removeprefix(f"{sequence}.").partition(".")[0]
    return number.isdigit() and int(number) < int(place) and tensor.shape[:1] == classifier.weight.shape[1:]


def _between(others: Mapping[str, Tensor], found: Match, classifier: Classifier) -> set[str]:
    """Keys of the parts beside the classifier whose last layer gives as many numbers as it takes.

    Whether these go into it only the network's code says. What stands beside a copy of the backbone with other values
    does not, nor does a cosine classifier, whose weight is (features × classes).
    """
    num_classes, num_features = classifier.weight.shape
    ordered = _says_order(found.source.tensors)
    parts: dict[str, list[str]] = {}
    for key in others:
        parts.setdefault(_part(key, classifier.name, found.prefix), []).append(key)
    between: set[str] = set()
    for part, keys in parts.items():
        weights = [key.split(".") for key in keys if _WEIGHT.search(key)]
        shapes = [others[".".join(names)].shape for names in _last(weights, ordered)]
        wide = any(_gives(shape, num_features) and shape[1:] != (num_classes,) for shape in shapes)
        if wide and not any(copy.startswith(f"{part}.") and _differs(copy, found) for copy in found.copies):
            between.update(keys)
    return between


def _differs(copy: str, found: Match) -> bool:
    """Whether a copy of the backbone has values of its own; one without is the backbone itself under a second name."""
    tensors = found.source.tensors
    own = {key.removeprefix(found.prefix): value for key, value in tensors.items() if key.startswith(found.prefix)}
    return any(
        not torch.equal(tensors[f"{copy}{name}"], value) for name, value in own.items() if f"{copy}{name}" in tensors
    )


def _gives(shape: torch.Size, width: int) -> bool:
    """Whether a layer with a weight of this shape may give vectors of a width: a convolution, of one pixel only."""
    return shape[:1] == (width,) and (len(shape) < 4 or set(shape[2:]) == {1})


def _says_order(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file may have its keys in the order of the layers: not by name within each type, as safetensors has."""
    by_type: dict[torch.dtype, list[str]] = {}
    for key, tensor in tensors.items():
        by_type.setdefault(tensor.dtype, []).append(key)
    return any(keys != sorted(keys) for keys in by_type.values())


def _last(weights: Sequence[list[str]], ordered: bool, depth: int = 0) -> list[list[str]]:
    """Those of a part's weights, names split at dots, that may be of its last layer.

    Numbers say an order in any file. Of layers named by words in a file sorted by name each may be the last: refusing a
    branch costs an option, taking a neck for one would make every figure another network's.
    """
    if len(weights) < 2:
        return list(weights)
    layers: dict[str, list[list[str]]] = {}
    for names in weights:
        layers.setdefault(names[depth] if depth < len(names) else "", []).append(names)
    if ordered and not all(name.isdecimal() for name in layers):
        last = list(layers)[-1:]
    else:
        highest: dict[str, str] = {}  # of `fc1`, `fc2` and `norm` the second and third
        for name in layers:
            word = name.rstrip("0123456789")
            highest[word] = max(highest.get(word, name), name, key=lambda one: int(one[len(word) :] or -1))
        last = list(highest.values())
    return [found for name in last for found in _last(layers[name], ordered, depth + 1)]


def _part(key: str, *others: str) -> str:
    """The name of the module that holds a tensor, the outermost one that holds none of the others."""
    names = key.split(".")
    shared = max(shared_start(names, other.rstrip(".").split(".")) for other in others)
    return ".".join(names[: shared + 1])
