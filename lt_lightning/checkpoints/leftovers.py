"""What a file's network has beside backbone and classifier, as far as its logits may pass through it."""

import re
from collections.abc import Mapping

from torch import Tensor

from lt_lightning.checkpoints.classifier import Classifier, shared_start
from lt_lightning.checkpoints.matching import COPY, Match
from lt_lightning.checkpoints.reading import memory_of

# Tensors of losses and metrics, which Lightning modules keep beside their network.
_NO_LAYER = re.compile(r"^(module\.|model\.)*\w*(criterion|loss|loss_fn|loss_function|metrics?|accuracy|acc)\.")
# Weights of layers, `original1` being weight normalisation's; of a batch normalisation without weights its mean.
_WEIGHT = re.compile(r"(^|\.)(\w*weight\w*|running_mean)(\.original\d)?$")


def unexpected(found: Match, classifier: Classifier) -> list[str]:
    """Tensors of the file's network that are neither the backbone's nor the classifier's.

    A deeper network of the same family has every key of the shallower one, and more: only these tell the two apart.
    Layers between backbone and classifier are among them: those before it in its ``nn.Sequential``, and parts beside
    it that end as wide as its input is. A part that ends in another width, as auxiliary classifiers and projection
    heads mostly do, is a branch of its own.
    """
    beside = (f"{classifier.name}.", *found.copies)
    own = {memory_of(found.rest[key]) for key in classifier.keys}
    others = {
        key: tensor
        for key, tensor in found.rest.items()
        if memory_of(tensor) not in own and not key.startswith(beside) and not _NO_LAYER.search(key)
    }
    between = _between(others, found.prefix, classifier)
    return [
        key
        for key, tensor in others.items()
        if key.startswith(found.prefix) or key in between or _feeds(key, tensor, classifier)
    ]


def _feeds(key: str, tensor: Tensor, classifier: Classifier) -> bool:
    """Whether a tensor is of an earlier layer of the classifier's own sequence, as wide as its input is."""
    sequence, _, place = classifier.name.rpartition(".")
    if not (sequence and place.isdigit() and key.startswith(f"{sequence}.")):
        return False
    number = key.removeprefix(f"{sequence}.").partition(".")[0]
    return number.isdigit() and int(number) < int(place) and tensor.shape[:1] == classifier.weight.shape[1:]


def _between(others: Mapping[str, Tensor], prefix: str, classifier: Classifier) -> set[str]:
    """Keys of the parts beside the classifier whose last layer gives as many numbers as it takes.

    Whether these go into it only the network's code says. One that follows the network does not, nor does a cosine
    classifier, whose weight is (features × classes).
    """
    num_classes, num_features = classifier.weight.shape
    parts: dict[str, list[str]] = {}
    for key in others:
        parts.setdefault(_part(key, classifier.name, prefix), []).append(key)
    found: set[str] = set()
    for keys in parts.values():
        last = next((others[key].shape for key in reversed(keys) if _WEIGHT.search(key)), None)
        if last and last[0] == num_features and last[1:] != (num_classes,) and not COPY.search(keys[0]):
            found.update(keys)
    return found


def _part(key: str, *others: str) -> str:
    """The name of the module that holds a tensor, the outermost one that holds none of the others."""
    names = key.split(".")
    shared = max(shared_start(names, other.rstrip(".").split(".")) for other in others)
    return ".".join(names[: shared + 1])
