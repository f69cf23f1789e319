"""Saying of a checkpoint that does not fit a backbone which one it would fit."""

import json
import re
from collections.abc import Sequence
from math import isqrt
from typing import Any

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone, TimmBackbone, TorchvisionBackbone
from lt_lightning.backbones.identify import fitting_backbones
from lt_lightning.checkpoints.leftovers import unexpected
from lt_lightning.checkpoints.wording import explain_mismatch
from lt_lightning.errors import UsageError

# How transformers call what depends on the size of their images.
_POSITIONS = re.compile(r"(^|\.)(pos_embed|relative_position)\w*: ")


def mismatch_error(
    source: checkpoints.Checkpoint,
    found: checkpoints.Match,
    extra: Sequence[str],
    backbone: Backbone,
    num_classes: int | None,
    group: str = "model.",
) -> UsageError:
    """The error that names what does not match, and the backbones that would.

    Args:
        source: The file.
        found: The backbone held against it.
        extra: Tensors of its network that the backbone has no use for.
        backbone: What was asked for.
        num_classes: Of the classifier that the file is to hold; ``None`` if it need not hold one.
        group: What stands before the options' names where they are typed.
    """
    advice = "no built-in backbone fits it"
    if extra and num_classes is not None and not (found.missing or found.misshapen):
        advice += (
            f"; give one of your own that has these layers too, or the whole module to `lt_lightning.retrain`; if what "
            f"the classifier gets does not pass through them and they add nothing to the logits, set "
            f"`{group}allow_partial` to true to leave them aside"
        )
    elif _is_of_other_images(found):
        # Loaded without them, it would take patches to be at random places.
        advice += (
            f"; its position embeddings are of a network for images of another size: {_resized(found, backbone, group)}"
        )
    elif found.tensors:
        advice += f"; set `{group}allow_partial` to true to load what matches"
    if (found.missing or found.misshapen) and (own := _own_of(source, backbone)):
        advice = f"the checkpoint names its own backbone, {own}, which `compare` takes if given none; give that one"
        if found.tensors and not _is_of_other_images(found):
            advice += f", or set `{group}allow_partial` to true to load what matches"
    elif names := fitting_names(source, num_classes):
        advice = f"it fits {' or '.join(_beside(name, backbone) for name in names)}"
    return UsageError(
        f"`checkpoint` {str(source.path)!r} does not fit `{group}backbone` {_describe(backbone)} "
        f"({explain_mismatch(found, extra)}); {advice}."
    )


def fitting_names(source: checkpoints.Checkpoint, num_classes: int | None = None) -> list[str]:
    """The built-in backbones that a checkpoint holds the weights of.

    Args:
        source: The file.
        num_classes: Of the classifier that it is to hold; ``None`` if it need not hold one.
    """
    return fitting_backbones(lambda candidate: _fits(source, candidate, num_classes), source.tensors)


def _own_of(source: checkpoints.Checkpoint, given: Backbone) -> str:
    """The backbone that a checkpoint of ours names, as one would make it; empty if it names none, or the given one."""
    named = source.backbone or {}
    name, settings = str(named.get("class_path", "")).rpartition(".")[2], dict(named.get("init_args") or {})
    kept = {key: getattr(given, key) for key in settings if hasattr(given, key)}  # not all keep what they were given
    same = _as_json({key: settings[key] for key in kept}) == _as_json(kept)
    if not name or (name == type(given).__name__ and same):
        return ""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def _as_json(settings: dict[str, Any]) -> object:
    """Settings as a file may hold them: of a tuple a list, of a path its text."""
    return json.loads(json.dumps(settings, default=str))


def _is_of_other_images(found: checkpoints.Match) -> bool:
    """Whether nothing but position embeddings is of another shape."""
    return bool(found.misshapen) and not found.missing and all(map(_POSITIONS.search, found.misshapen))


def _resized(found: checkpoints.Match, backbone: Backbone, group: str) -> str:
    """How to make a backbone for the images that a file's network was trained on."""
    if not isinstance(backbone, TimmBackbone):
        return "give a backbone of your own that is made for that size"
    side = _side(found, backbone)
    option = f"`{group}backbone.options.img_size`"
    return f"give that size as {option}" if side is None else f"give {option} {side}"


def _side(found: checkpoints.Match, backbone: TimmBackbone) -> int | None:
    """Side of the square images that a file's embeddings are for, of a timm network that has one for each patch."""
    tensors, prefix = found.source.tensors, found.prefix
    theirs = tensors.get(f"{prefix}pos_embed", tensors.get(f"{prefix}model.pos_embed"))
    ours, patches = getattr(backbone.model, "pos_embed", None), getattr(backbone.model, "patch_embed", None)
    if theirs is None or theirs.ndim != 3 or ours is None or patches is None or not hasattr(patches, "num_patches"):
        return None
    # Beside those of the patches some have one of a class token, or several.
    number = max(0, theirs.shape[1] - ours.shape[1] + patches.num_patches)
    return isqrt(number) * patches.patch_size[0] if number == isqrt(number) ** 2 else None


def _fits(source: checkpoints.Checkpoint, backbone: Backbone, num_classes: int | None) -> bool:
    found = checkpoints.match(source, backbone)
    if found.missing or found.misshapen:
        return False
    if num_classes is None:
        return not checkpoints.deeper_layers(found)
    try:
        classifier = checkpoints.find_classifier(found, backbone.num_features, num_classes, source.path)
    except UsageError:  # another mistake than the backbone, if no more than one layer is left over
        return len({key.rpartition(".")[0] for key in found.rest if key.startswith(found.prefix)}) < 2
    return not unexpected(found, classifier)


def _beside(name: str, given: Backbone) -> str:
    """The name of a backbone that fits; with the default that the given one departs from, as its preset may have it."""
    if isinstance(given, TorchvisionBackbone) and given.cifar_stem and name.startswith("Torchvision"):
        return name if "cifar_stem" in name else f"{name.removesuffix(')')}, cifar_stem=False)"
    return name


def _describe(backbone: Backbone) -> str:
    if isinstance(backbone, TimmBackbone):
        return f'TimmBackbone(name="{backbone.name}")'
    if not isinstance(backbone, TorchvisionBackbone):
        return type(backbone).__name__
    return f'TorchvisionBackbone(name="{backbone.name}"{", cifar_stem=True" if backbone.cifar_stem else ""})'
