"""The linear classifier in a checkpoint, as it acts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor

from lt_lightning import heads
from lt_lightning.checkpoints.matching import Match
from lt_lightning.checkpoints.other_forms import other_form
from lt_lightning.checkpoints.reading import memory_of
from lt_lightning.errors import UsageError
from lt_lightning.wording import first_few, some

_NAMES = {"fc", "linear", "classifier", "head", "heads", "last_linear", "output", "logits"}
# Factors of a class's logit: classifier-balancing's and ours, MiSLAS's.
FACTORS = ("scales", "learned_norm")
# What losses, metrics, optimisers, averages and the preparation of images leave beside a classifier, no part of its
# logits.
_ASIDE = re.compile(
    r"^(weights?|bias)$|(^|_)((class|cls|pos|sample|loss)_weights?|counts?|num|samples|freq\w*|loss(es)?|criterion|metrics?|"
    r"acc\d*|accuracy|best|steps?|epochs?|decay|momentum|lr|mean|std|m_list|margins?|iter\w*|thresholds?|hist|p_model|"
    r"time_p|log_vars?|mixup|ema|drop|prob|version|dummy|learning_rate|grad|reweight|tensor|total|"
    r"swa|averaged?|teacher|centers?|proto\w*)(_|$)"
)
_EQUAL_LENGTHS = "whose rows at equal lengths choose the same classes as a linear layer"


@dataclass(frozen=True)
class Classifier:
    """A linear classifier found in a checkpoint."""

    name: str
    weight: Tensor
    """``(K, D)``."""
    bias: Tensor | None
    """``(K,)``."""
    keys: tuple[str, ...] = ()
    """The file's tensors it was made from."""
    note: str = ""
    """What was done to make it linear, or what could not be, in words."""
    is_linear: bool | None = True
    """Whether the file's network multiplies by it and adds, no more; a cosine classifier also divides. ``None`` where
    nobody knows."""
    order: tuple[int, ...] | None = None
    """For each row its row in the file; ``None`` where they stand as there."""

    def in_order(self, order: Sequence[int] | None) -> "Classifier":
        """The same classifier with its rows in another order, as :func:`class_order` gives it."""
        if order is None:
            return self
        rows = torch.tensor(order, device=self.weight.device)
        bias = None if self.bias is None else self.bias[rows]
        note = ", ".join(filter(None, (self.note, "rows put in the data's class order")))
        before = range(len(order)) if self.order is None else self.order
        return replace(self, weight=self.weight[rows], bias=bias, note=note, order=tuple(before[row] for row in order))


def find_classifier(found: Match, num_features: int, num_classes: int, path: Path) -> Classifier:
    """The linear classifier among the tensors the backbone left over.

    One of our heads is turned into the linear layer that gives its predictions, factors per class (LWS) are multiplied
    in, and the transposed weight of a cosine classifier (LDAM's) is turned round; ``note`` says so.

    Raises:
        UsageError: If there is none, several, one for another number of classes, or one with weights that are no finite
            numbers.
    """
    classifier = _our_head(found, num_features, num_classes) or _their_layer(found, num_features, num_classes, path)
    parts = [part for part in (classifier.weight, classifier.bias) if part is not None and not part.is_meta]
    if not all(bool(part.isfinite().all()) for part in parts):
        raise UsageError(
            f"`checkpoint` {str(path)!r} has a classifier {classifier.name!r} with weights that are infinite or no "
            f"numbers, as training that diverges leaves them; give one from before that."
        )
    return classifier


def _their_layer(found: Match, num_features: int, num_classes: int, path: Path) -> Classifier:
    linear = {
        key: tensor
        for key, tensor in found.rest.items()
        if tensor.ndim == 2
        and tensor.shape[1] == num_features
        and key.endswith("weight")
        and not key.startswith(tuple(found.copies))
    }
    fitting = [key for key, tensor in linear.items() if tensor.shape[0] == num_classes]
    if not fitting:
        turned = _transposed(found, num_features, num_classes)
        if turned is not None:
            return _note_unknown_head(turned, found)
        form = other_form(found.rest, num_features, num_classes)
        if form:
            raise UsageError(f"`checkpoint` {str(path)!r} has a classifier {form}.")
        _refuse_own_head(found, num_features, num_classes, path)
    if not fitting and linear:
        key, tensor = next(iter(linear.items()))
        if (len(tensor), num_classes) == (1, 2):
            raise UsageError(
                f"`checkpoint` {str(path)!r} has a classifier {key!r} with a single logit for two classes; save its "
                f"weight and bias with two rows, zeros and these."
            )
        raise UsageError(
            f"`checkpoint` {str(path)!r} has a classifier {key!r} of {tensor.shape[0]} classes, but the data have "
            f"{num_classes}; give the data that it was trained on, or a checkpoint that was trained on these, which "
            f"`lt-lightning probe` makes of any network."
        )
    likeliest = _without_aliases(_likeliest(fitting, found.prefix), found.rest)
    if not likeliest:
        left = f"left over beside the backbone are {some(list(found.rest))}"
        if not found.rest:
            left = (
                "nothing is left over beside the backbone; give the file of the whole network, or what `lt-lightning "
                "probe` makes of this one"
            )
        raise UsageError(
            f"`checkpoint` {str(path)!r} must hold one linear classifier with {num_classes} rows of {num_features} "
            f"features, but has 0: {left}."
        )
    chosen, *others = (*likeliest, *_alike_beside(likeliest[0], _nearest(fitting, found.prefix), found.rest))
    if others:
        if all(key.startswith("head.") for key in (chosen, *others)):
            _refuse_own_head(found, num_features, num_classes, path)
        first, second = (key.removesuffix(".weight") for key in (chosen, others[0]))
        raise UsageError(
            f"`checkpoint` {str(path)!r} has a second classifier {second!r} beside {first!r}, and networks that "
            f"average both (DeiT distilled, EfficientFormer, LeViT) have other figures than with one; delete it from "
            f"the file if the network's logits are made without it, or have `lt-lightning probe` train one classifier "
            f"in place of both."
        )
    name = chosen.removesuffix("weight")
    keys = [key for key in (chosen, name + "bias") if key in found.rest]
    plain = Classifier(name.rstrip("."), found.rest[chosen], found.rest.get(name + "bias"), tuple(keys))
    return _note_company(_note_unknown_head(_scaled(plain, found.rest), found), found.rest)


def _without_aliases(keys: list[str], rest: dict[str, Tensor]) -> list[str]:
    """One key for each tensor, the first: a layer that a module has under two names is one layer."""
    first = {memory_of(rest[key]): key for key in reversed(keys)}
    return [key for key in keys if first[memory_of(rest[key])] == key]


def _alike_beside(chosen: str, keys: list[str], rest: dict[str, Tensor]) -> list[str]:
    """Which other weights may be of a second classifier, whose logits the network adds to those of the chosen one.

    Its name is another in one place, such as ``head_dist.l`` beside ``head.l``, and it has a bias if the other has one.
    What its name says to be a loss's or an average's is none, nor are the same weights again.
    """

    def has_bias(key: str) -> bool:
        return f"{key.removesuffix('weight')}bias" in rest

    def is_second(key: str) -> bool:
        names, others = chosen.split("."), key.split(".")
        differing = [other for name, other in zip(names, others, strict=False) if name != other]
        return len(names) == len(others) and len(differing) == 1 and not _ASIDE.search(differing[0])

    return [
        key
        for key in keys
        if is_second(key) and has_bias(key) == has_bias(chosen) and not _are_equal(rest[key], rest[chosen])
    ]


def _are_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two weights have the same values; of those without any, or sparse, only their memory tells."""
    if memory_of(one) == memory_of(other):
        return True
    has_values = all(tensor.layout == torch.strided and not tensor.is_meta for tensor in (one, other))
    return has_values and torch.equal(one, other)


def _likeliest(keys: list[str], prefix: str) -> list[str]:
    """Of several weights those nearest to the backbone, then those with a classifier's usual name."""
    if len(keys) < 2:
        return keys
    nearest = _nearest(keys, prefix)
    named = [key for key in nearest if _NAMES & set(key.split("."))]
    return named or nearest


def _nearest(keys: list[str], prefix: str) -> list[str]:
    near = [shared_start(key.split("."), prefix.split(".")) for key in keys]
    return [key for key, depth in zip(keys, near, strict=True) if depth == max(near)]


def shared_start(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two names have in common before they differ."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _our_head(found: Match, num_features: int, num_classes: int) -> Classifier | None:
    """What one of our own heads amounts to; ``None`` where the file does not say which head it was."""
    record, counts = found.source.head, found.source.class_counts
    package, _, name = str((record or {}).get("class_path", "")).rpartition(".")
    # The name comes from a file: nothing but our own heads may be made from it.
    if record is None or counts is None or package.split(".")[:2] != ["lt_lightning", "heads"]:
        return None
    keys = tuple(key for key in found.rest if key.startswith("head."))
    if name not in heads.__all__ or len(counts) != num_classes or not keys:
        return None
    try:
        with torch.random.fork_rng(devices=[]):
            head = getattr(heads, name)(num_features, counts, **(record.get("init_args") or {}))
        head.load_state_dict({key.removeprefix("head."): found.rest[key] for key in keys})
    except (TypeError, ValueError, RuntimeError):  # a head of another version; its tensors are read like anybody's
        return None
    try:
        layer = head.to_linear()
    except UsageError:
        weight, bias = found.rest.get("head.weight"), found.rest.get("head.bias")
        if weight is None:
            return None
        if name == "CosineHead":
            return Classifier("head", _of_equal_lengths(weight), None, keys, f"{name}, {_EQUAL_LENGTHS}", False)
        parts = "weight alone is" if bias is None else "weight and bias alone are"
        note = f"{name} has no linear form, so its {parts} handed over"
        return Classifier("head", weight, bias, keys, note, is_linear=False)
    note = "" if name == "LinearHead" else f"{name} in its linear form"
    bias = None if layer.bias is None else layer.bias.detach()
    return Classifier("head", layer.weight.detach(), bias, keys, note)


def _own_head(found: Match) -> str:
    """Name of the head of somebody's own that a file of ours has; empty if it has one of ours, or does not say."""
    package, _, name = str((found.source.head or {}).get("class_path", "")).rpartition(".")
    return "" if package.partition(".")[0] == "lt_lightning" else name


def _refuse_own_head(found: Match, num_features: int, num_classes: int, path: Path) -> None:
    """Refuse a head of somebody's own that holds no one linear layer, though it is for as many classes."""
    name, counts = _own_head(found), found.source.class_counts or []
    weights = {key: tensor for key, tensor in found.rest.items() if key.startswith("head.") and tensor.ndim > 1}
    if name and weights and len(counts) == num_classes:
        held = first_few([f"{key!r} {tuple(tensor.shape)}" for key, tensor in weights.items()], most=4)
        raise UsageError(
            f"`checkpoint` {str(path)!r} has a head of somebody's own, {name}, that holds {held}, where stage 2 needs "
            f"exactly one `weight` of {num_classes} rows of {num_features} features; have `lt-lightning probe "
            f"--checkpoint` train a linear classifier on its backbone, and start from the file that this writes."
        )


def _note_unknown_head(plain: Classifier, found: Match) -> Classifier:
    """Note where a file of ours has a head of somebody's own: a linear layer is assumed."""
    name = _own_head(found)
    if not name:
        return plain
    # A head of somebody's own may divide features by their norms, or logits by a temperature.
    note = f"read as a linear layer, though its head, {name}, may make something else of its weights"
    return replace(plain, note=", ".join(filter(None, (plain.note, note))), is_linear=None)


def _note_company(plain: Classifier, rest: dict[str, Tensor]) -> Classifier:
    """Note tensors that a linear layer does not have, such as a cosine classifier's scale or a low-rank addition.

    A network may also keep what acts on its logits beside the layer: a temperature, or an offset of each class.
    """
    own = {f"{plain.name}.weight", f"{plain.name}.bias", *plain.keys}
    others = {key: tensor for key, tensor in rest.items() if plain.name and key not in own}
    more = [
        key
        for key, tensor in others.items()
        if key.rpartition(".")[0] == plain.name or _may_act_on_logits(key, tensor, plain)
    ]
    if not more or not plain.is_linear:
        return plain
    note = f"read as a linear layer, though {some(more)} beside its weight may make something else of it"
    return replace(plain, note=", ".join(filter(None, (plain.note, note))), is_linear=None)


def _may_act_on_logits(key: str, tensor: Tensor, plain: Classifier) -> bool:
    """Whether a tensor is of the module that the classifier is in, with a number for each class, or one for all."""
    module, _, name = key.rpartition(".")
    return (
        module == plain.name.rpartition(".")[0]
        and tensor.is_floating_point()
        and tensor.numel() in (1, plain.weight.shape[0])
        and not _ASIDE.search(name)
    )


def _scaled(plain: Classifier, rest: dict[str, Tensor]) -> Classifier:
    """Multiply factors per class into weight and bias, where the file has such."""
    rows = plain.weight.shape[0]
    found = [key for key, tensor in rest.items() if key.split(".")[-1] in FACTORS and tensor.numel() == rows]
    factors = _likeliest(found, f"{plain.name}.")
    # With offsets beside them they are DisAlign's, which act on some images more than on others.
    if len(factors) != 1:
        return plain
    if f"{factors[0].removesuffix('scales')}offsets" in rest:
        return replace(plain, is_linear=False)
    scales = rest[factors[0]].flatten()
    return Classifier(
        plain.name,
        plain.weight * scales.unsqueeze(1),
        None if plain.bias is None else plain.bias * scales,
        (*plain.keys, factors[0]),
        f"factors {factors[0]!r} multiplied in",
    )


def _transposed(found: Match, num_features: int, num_classes: int) -> Classifier | None:
    """A cosine classifier that keeps its weight as (features, classes), as LDAM's does, and has no bias."""
    shape = (num_features, num_classes)
    keys = [key for key, tensor in found.rest.items() if tuple(tensor.shape) == shape and key.endswith("weight")]
    keys = [key for key in _likeliest(keys, found.prefix) if f"{key.removesuffix('weight')}bias" not in found.rest]
    if len(keys) != 1:
        return None
    name, weight = keys[0].removesuffix("weight").rstrip("."), found.rest[keys[0]].T
    whose = "taken for a cosine classifier's" if _own_head(found) else "a cosine classifier's"
    note = f"{whose} (features × classes), {_EQUAL_LENGTHS}"
    return Classifier(name, _of_equal_lengths(weight), None, (keys[0],), note, False)


def _of_equal_lengths(weight: Tensor) -> Tensor:
    """The rows of a cosine classifier, ``(K, D)``, brought to their mean length.

    Of an image a cosine classifier's logits are those of the linear layer with these rows times one positive number, so
    both choose the same class; as they are, the rows would favour classes with long ones.
    """
    wide = weight.to(torch.float64)
    rows: Tensor = torch.nn.functional.normalize(wide, dim=1) * wide.norm(dim=1).mean()
    return rows.to(weight.dtype)
