"""Holding a backbone against a checkpoint's tensors."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lt_lightning.checkpoints.reading import Checkpoint

_COPY = re.compile(r"(^|[._])(ema|swa|averaged?|teacher|momentum|target|encoder_k)([._]|$)")
"""In names of copies of a network that follow it; the network itself is wanted where a file has both."""


@dataclass(frozen=True)
class Match:
    """A backbone held against a checkpoint's tensors."""

    source: Checkpoint
    prefix: str
    tensors: dict[str, Tensor]
    """What the backbone can load, by the backbone's own keys."""
    missing: list[str]
    """Keys of the backbone that the file lacks."""
    misshapen: list[str]
    """Keys present in both with different shapes, both shapes named."""
    rest: dict[str, Tensor]
    """Tensors of the file that the backbone has no use for, by the file's keys."""
    copies: list[str]
    """Other prefixes under which the file has as many tensors of the backbone."""

    @property
    def total(self) -> int:
        """Tensors of the backbone, but for counts of batches that the file lacks, which nothing reads."""
        return len(self.tensors) + len(self.missing) + len(self.misshapen)


def match(checkpoint: Checkpoint, backbone: nn.Module) -> Match:
    """Find the backbone's tensors in a checkpoint, under whatever prefix they stand there.

    Of several prefixes that fit equally well the network's own goes before an average's or a teacher's, then the
    shortest.
    """
    wanted = backbone.state_dict()
    hits = {pair: _hits(checkpoint.tensors, wanted, *pair) for pair in _prefix_pairs(checkpoint.tensors, wanted)}
    most = max(hits.values())
    best = sorted(
        (pair for pair, number in hits.items() if number == most),
        key=lambda pair: (bool(_COPY.search(pair[0])), len(pair[0]), pair),
    )
    theirs, ours = best[0]
    found: dict[str, Tensor] = {}
    missing, misshapen, used = [], [], set()
    for key, target in wanted.items():
        source = _source(key, theirs, ours)
        tensor = checkpoint.tensors.get(source)
        if tensor is None:
            # Files older than PyTorch 0.4.1 do not count batches, and nothing here reads the count.
            if not key.endswith("num_batches_tracked"):
                missing.append(key)
        elif tensor.shape != target.shape:
            misshapen.append(f"{key}: {tuple(tensor.shape)} in the file, {tuple(target.shape)} in the backbone")
            used.add(source)
        else:
            found[key] = tensor
            used.add(source)
    rest = {key: tensor for key, tensor in checkpoint.tensors.items() if key not in used}
    # A pair that cuts more from both sides leads to the same tensors.
    copies = [pair[0] for pair in best[1:] if found and _source(next(iter(wanted)), *pair) in rest]
    return Match(checkpoint, theirs, found, missing, misshapen, rest, copies)


def load(found: Match, backbone: nn.Module) -> None:
    """Load what matches into the backbone; what is missing stays as it is.

    Args:
        found: Of :func:`match`.
        backbone: The one that was held against the file.
    """
    tensors, own = OrderedDict(found.tensors), backbone.state_dict()
    # Some modules, as torchvision's MNASNet, ask for their version, which the file has under other names, if at all.
    tensors._metadata = getattr(own, "_metadata", None)  # type: ignore[attr-defined]
    # What was made in inference mode may be changed there alone.
    with torch.inference_mode(any(isinstance(value, Tensor) and value.is_inference() for value in own.values())):
        backbone.load_state_dict(tensors, strict=False)


def deeper_layers(found: Match) -> list[str]:
    """What the file has of a deeper network, in which every key of the backbone is found too.

    A classifier, projection head or decoder is left out. It has a name of its own, or is a single layer in a part of
    the backbone, as the last of ``classifier`` is in torchvision's VGG; several layers there are a deeper network's.

    Returns:
        Keys of the file; empty if it is of no deeper network.
    """
    taken = {key for key in found.source.tensors if key.startswith(found.prefix) and key not in found.rest}
    parts = {key.removeprefix(found.prefix).split(".")[0] for key in taken}
    shared = [
        key
        for key in found.rest
        if key.startswith(found.prefix)
        and key.removeprefix(found.prefix).split(".")[0] in parts
        and not key.startswith(tuple(found.copies))
    ]
    layers = {key.rpartition(".")[0] for key in shared}
    return shared if len(layers) > 1 else []


def _source(key: str, theirs: str, ours: str) -> str:
    return theirs + key.removeprefix(ours)


def _prefix_pairs(tensors: Iterable[str], wanted: Iterable[str]) -> list[tuple[str, str]]:
    """Candidate (their prefix, our prefix); ours is what wraps a torchvision model inside a backbone."""
    pairs = {("", "")}
    for ours in {"", *({"model."} if all(key.startswith("model.") for key in wanted) else ())}:
        names = {key.removeprefix(ours) for key in wanted}
        for key in tensors:
            parts = key.split(".")
            tails = (".".join(parts[cut:]) for cut in range(len(parts)))
            pairs.update((key.removesuffix(tail), ours) for tail in tails if tail in names)
    return sorted(pairs)


def _hits(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], theirs: str, ours: str) -> tuple[int, int]:
    """How many of the backbone's tensors the file has under a prefix: by name, and in the right shape."""
    found = [(tensors.get(_source(key, theirs, ours)), target) for key, target in wanted.items()]
    here = [(tensor.shape, target.shape) for tensor, target in found if tensor is not None]
    return len(here), sum(theirs == ours for theirs, ours in here)
