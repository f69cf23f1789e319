"""A checkpoint with a better last layer, in the format it came in."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lt_lightning.checkpoints.class_order import class_order, names_of_rows
from lt_lightning.checkpoints.classifier import FACTORS, Classifier, find_classifier
from lt_lightning.checkpoints.leftovers import unexpected
from lt_lightning.checkpoints.matching import Match, match
from lt_lightning.checkpoints.opening import is_safetensors, open_safely
from lt_lightning.checkpoints.past import distinct, past_of, trained_on
from lt_lightning.checkpoints.reading import RECORD, Place, memory_of, read, tensors_in
from lt_lightning.checkpoints.wording import explain_mismatch
from lt_lightning.checkpoints.writing import write_new
from lt_lightning.errors import UsageError
from lt_lightning.heads import Head
from lt_lightning.packages import is_ours
from lt_lightning.wording import some

_INSTEAD = "hand it back as a Lightning checkpoint, which `lt-lightning test` and `predict` load"


class UnfitHeadError(UsageError):
    """A head that cannot take a classifier's place.

    Attributes:
        reason: Why, without what to do instead.
    """

    def __init__(self, reason: str, rest: str = f"; {_INSTEAD}.") -> None:
        super().__init__(f"{reason}{rest}")
        self.reason = reason


def hand_back(
    found: Match,
    classifier: Classifier,
    head: Head | nn.Linear,
    path: str | Path,
    split: Mapping[str, Any] | None = None,
    selection: str | None = None,
    allow_partial: bool = False,
) -> str:
    """Write the file that a classifier was found in once more, with another layer in the classifier's place.

    Container, keys, prefixes, types, order of classes, metadata and every other entry stay as they were: copies such as
    moving averages too, and the states of optimisers, which only matter to whoever goes on with the old training.
    Factors per class that the file keeps beside its classifier become 1, and a bias that ``head`` lacks becomes 0.
    Tensors that a file has from a GPU are stored as from the CPU.

    Args:
        found: The file, held against a backbone.
        classifier: What :func:`find_classifier` found in it, in any order of classes.
        head: What takes its place: a layer of K classes and D features, classes in the order of ``classifier``, or a
            head that has a linear form.
        path: File to write, a new one; its folder is made if need be.
        split: What ``head`` was trained on, as the data describe it, for the record of a checkpoint of ours: images
            that only the head has seen are no more unseen by the network.
        selection: What ``head`` was chosen by, as results files say it, for the same record.
        allow_partial: Whether the file may lack parts of the backbone, and have layers that are neither the backbone's
            nor the classifier's.

    Returns:
        What was written, in one sentence.

    Raises:
        UsageError: If file and backbone do not fit, the head has no linear form, or one that the file's network cannot
            hold; if ``path`` exists, or there is no room for it. Nothing is left behind then.
    """
    path, source = Path(path), found.source
    if not allow_partial:
        _check_whole(found, classifier)
    layer = _finite_layer(head, source.path)
    new, notes = _replacements(found, classifier, layer)
    contents = open_safely(source.path)
    # A tensor may stand in several places, as a layer that a module has under two names does.
    where = {key: _shared_places(contents, source.places[key]) for key in new}
    notes += _note_on_copies(contents, next(iter(where.values())))
    for key, places in where.items():
        for place in places:
            _put(contents, place, new[key])
    if isinstance(record := contents.get(RECORD), MutableMapping):
        if split is not None:
            record["past"] = distinct([trained_on(split), *past_of(record)], trained_on(record.get("split")))
        record["selection"] = selection or "unknown: nobody has said how the new layer was chosen"
    write_new(path, source.path.stat().st_size, lambda draft: _save(contents, source.path, draft))
    return f"{path}: {source.path.name} with a new classifier '{classifier.name}'" + "".join(f"; {n}" for n in notes)


def hand_back_file(
    checkpoint: str | Path,
    backbone: nn.Module,
    head: Head,
    path: str | Path,
    class_names: Sequence[str] | None = None,
    checkpoint_class_names: Sequence[str] | None = None,
    split: Mapping[str, Any] | None = None,
    selection: str | None = None,
    allow_partial: bool = False,
) -> str:
    """Read a checkpoint, and write it once more with another classifier: :func:`hand_back` in one step.

    Args:
        checkpoint: The file.
        backbone: A network that it fits; its weights are not looked at.
        head: What takes the classifier's place.
        path: File to write, a new one.
        class_names: Of the head's classes in their order, if the file's may stand in another.
        checkpoint_class_names: Of the file's, where it does not say them.
        split: As of :func:`hand_back`.
        selection: As of :func:`hand_back`.
        allow_partial: As of :func:`hand_back`.

    Returns:
        What was written, in one sentence.

    Raises:
        UsageError: As :func:`hand_back` and what reads the file do.
    """
    source = read(checkpoint)
    found = match(source, backbone)
    classifier = find_classifier(found, head.in_features, head.num_classes, source.path)
    theirs = names_of_rows(source, class_names, checkpoint_class_names) if class_names else None
    order = class_order(theirs, class_names, source.path) if theirs and class_names else None
    return hand_back(found, classifier.in_order(order), head, path, split, selection, allow_partial)


def to_linear(head: Head) -> nn.Linear:
    """The linear layer that a head amounts to.

    Raises:
        UsageError: If there is none, with what to do instead.
    """
    try:
        layer = head.to_linear()
    except UsageError as error:
        raise UnfitHeadError(str(error).rstrip("."), f", so no linear layer can stand for it; {_INSTEAD}.") from error
    if not is_ours(type(head)) and not _agree(head, layer):
        raise UnfitHeadError(
            f"`{type(head).__name__}` predicts something else than its `to_linear`",
            f", so no linear layer can stand for it: define that method for these predictions; or {_INSTEAD}.",
        )
    return layer


@torch.inference_mode()
def _agree(head: Head, layer: nn.Linear) -> bool:
    """Whether a head predicts what a layer does, tried on a few random features."""
    features = torch.randn(8, head.in_features, generator=torch.Generator().manual_seed(0)).to(layer.weight)
    training = head.training
    try:
        wanted, given = head.eval().predict(features), layer(features)
    finally:
        head.train(training)
    # Of logits that are sums of large numbers: TF32 and half precision have three digits.
    return bool((wanted - given).abs().max() <= 5e-3 * wanted.abs().max().clamp_min(1))


def _check_whole(found: Match, classifier: Classifier) -> None:
    """Refuse a file whose classifier may get something else than the backbone's features, which the head was made for.

    The commands that read such a file refuse it too.
    """
    extra = unexpected(found, classifier)
    if found.missing or found.misshapen or extra:
        raise UsageError(
            f"`checkpoint` {str(found.source.path)!r} does not fit the backbone ({explain_mismatch(found, extra)}); "
            f"give the backbone of its network or, if what does not match has no part in what the classifier gets and "
            f"adds nothing to the logits, set `allow_partial` to true."
        )


def _finite_layer(head: Head | nn.Linear, source: Path) -> nn.Linear:
    layer = head if isinstance(head, nn.Linear) else to_linear(head)
    if not all(bool(parameter.isfinite().all()) for parameter in layer.parameters()):
        raise UnfitHeadError(
            f"`head` has weights that are infinite or no numbers, so {str(source)!r} is better off without",
            "; train it with a smaller learning rate.",
        )
    return layer


def _replacements(found: Match, classifier: Classifier, layer: nn.Linear) -> tuple[dict[str, Tensor], list[str]]:
    """What takes the place of the file's tensors, by the file's keys, and what is to be said of it."""
    weight, bias = _replaced_keys(found, classifier, layer)
    given = _bias(layer)
    notes, exact = [], {weight: _copied(layer.weight)}
    if bias is not None:
        exact[bias] = torch.zeros(layer.out_features) if given is None else _copied(given)
        if given is None:
            notes.append("its bias is 0")
    exact = {key: _in_file_order(value, classifier) for key, value in exact.items()}
    new = {key: value.to(found.rest[key].dtype) for key, value in exact.items()}
    stored = str(new[weight].dtype).removeprefix("torch.")
    if not all(bool(value.isfinite().all()) for value in new.values()):
        raise UnfitHeadError(
            f"`head` has weights that are too large for {stored}, the type in {str(found.source.path)!r}"
        )
    lost = max(float((new[key].to(value.dtype) - value).abs().max()) for key, value in exact.items())
    if lost:
        notes.append(f"rounded to the file's {stored}, by {lost:.1e} at most")
    for key in classifier.keys:
        if key.rpartition(".")[2] in FACTORS:
            new[key] = torch.ones_like(found.rest[key])
            notes.append(f"factors {key!r} are 1")
    _check_reading(found, classifier, new, weight, bias)
    return new, notes


def _copied(values: Tensor) -> Tensor:
    """Row after row: out of a stack of many layers torch would save them all, and safetensors refuse a transpose."""
    return values.detach().cpu().clone(memory_format=torch.contiguous_format)


def _replaced_keys(found: Match, classifier: Classifier, layer: nn.Linear) -> tuple[str, str | None]:
    """The file's keys of weight and bias, where its network computes with a layer in their place as the layer does."""
    path, shape, bias = str(found.source.path), tuple(classifier.weight.shape), _bias(layer)
    if tuple(layer.weight.shape) != shape:
        raise UsageError(
            f"`head` must have {shape[0]} classes and {shape[1]} features, as the classifier of `checkpoint` {path!r} "
            f"has, but has {layer.weight.shape[0]} and {layer.weight.shape[1]}."
        )
    weight_key = next((key for key in classifier.keys if key.endswith("weight")), None)
    bias_key = next((key for key in classifier.keys if key.endswith("bias")), None)
    if classifier.is_linear is None:
        own = f"head of somebody's own, {_head_name(found)}," if found.source.head else "classifier with more to it,"
        raise UnfitHeadError(
            f"`checkpoint` {path!r} has a {own} which may make something else of a linear layer's weights "
            f"({classifier.note})"
        )
    if not classifier.is_linear or weight_key is None:
        raise UnfitHeadError(
            f"`checkpoint` {path!r} has a classifier {classifier.name!r} that is not linear, so its network would make "
            "something else of a linear layer's weights"
        )
    if bias_key is None and bias is not None and bool(bias.any()):
        raise UnfitHeadError(
            f"`checkpoint` {path!r} has a classifier {classifier.name!r} without a bias, and the new one needs one (of "
            f"up to {float(bias.abs().max()):.3g}), which its network could not load"
        )
    return weight_key, bias_key


def _head_name(found: Match) -> str:
    return str((found.source.head or {}).get("class_path", "head")).rpartition(".")[2]


def _bias(layer: nn.Linear) -> Tensor | None:
    return None if layer.bias is None else layer.bias.detach()  # torch's annotation says that it has one


def _in_file_order(rows: Tensor, classifier: Classifier) -> Tensor:
    if classifier.order is None:
        return rows
    moved = torch.empty_like(rows)
    moved[torch.tensor(classifier.order, device=rows.device)] = rows
    return moved


def _check_reading(found: Match, classifier: Classifier, new: dict[str, Tensor], weight: str, bias: str | None) -> None:
    """Read what is about to be written: one of our own heads may make something else of its weights."""
    replaced = {memory_of(found.rest[key]): tensor for key, tensor in new.items()}  # under all their names
    again = find_classifier(
        replace(found, rest={key: replaced.get(memory_of(tensor), tensor) for key, tensor in found.rest.items()}),
        classifier.weight.shape[1],
        classifier.weight.shape[0],
        found.source.path,
    )
    pairs = [(again.weight, new[weight])]
    if again.bias is not None and bias is not None:
        pairs.append((again.bias, new[bias]))
    if not all(torch.allclose(read.float(), given.float(), rtol=1e-5, atol=1e-6) for read, given in pairs):
        raise UnfitHeadError(
            f"`checkpoint` {str(found.source.path)!r} has a {_head_name(found)}, which makes something else of the "
            "weights that it is given"
        )


# -- places ----------------------------------------------------------------------------------------------------------


def _shared_places(contents: dict[Any, Any], place: Place) -> list[Place]:
    """Where the tensor of a place stands, under whatever names."""
    tensors = dict(tensors_in(contents))
    memory = memory_of(tensors[place])
    return [other for other, tensor in tensors.items() if other == place or memory_of(tensor) == memory]


def _note_on_copies(contents: dict[Any, Any], replaced: list[Place]) -> list[str]:
    """Note of other tensors that go by the classifier's name, such as those of a moving average."""
    tensors = {".".join(map(str, place)): tensor for place, tensor in tensors_in(contents)}
    here, *aliases = (".".join(map(str, place)) for place in replaced)
    others = [
        name
        for name, tensor in tensors.items()
        if name.split(".")[-2:] == here.split(".")[-2:]
        and name not in (here, *aliases)
        and tensor.shape == tensors[here].shape
    ]
    return [f"{here!r} is replaced, its copies {some(others)} stay as they were"] if others else []


def _put(contents: dict[Any, Any], place: Place, tensor: Tensor) -> None:
    node: MutableMapping[Any, Any] = contents
    for key in place[:-1]:
        node = node[key]
    old = node[place[-1]]
    is_parameter = isinstance(old, nn.Parameter)
    node[place[-1]] = nn.Parameter(tensor, requires_grad=old.requires_grad) if is_parameter else tensor


# -- writing ---------------------------------------------------------------------------------------------------------


def _save(contents: dict[Any, Any], source: Path, draft: Path) -> None:
    with source.open("rb") as file:
        start = file.read(64)
    if is_safetensors(source, start):
        _save_safetensors(contents, source, draft)
        return
    # Before PyTorch 1.6 a file was no zip archive; whoever reads such files with old code gets one again.
    with draft.open("wb") as file:
        torch.save(contents, file, _use_new_zipfile_serialization=start.startswith(b"PK"))


def _save_safetensors(contents: dict[Any, Any], source: Path, draft: Path) -> None:
    import safetensors
    from safetensors.torch import save_file

    with safetensors.safe_open(source, framework="pt") as file:
        metadata = file.metadata()
    try:
        save_file(contents, draft, metadata)
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from error
