"""A better last layer for a module that you have, in one call."""

import operator
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lt_lightning.checkpoints import to_linear
from lt_lightning.comparing.checks import Memory, memory_of
from lt_lightning.comparing.evaluation import accuracies, count_correct
from lt_lightning.comparing.one_method import checked_grid, method_name, plain, points_of_method
from lt_lightning.comparing.outcome import TriedPoint
from lt_lightning.comparing.selection import Meaning, choose
from lt_lightning.comparing.settings import SettingsParser
from lt_lightning.comparing.training import Stage1, Trained, train
from lt_lightning.devices.modes import usual_modes
from lt_lightning.devices.placement import device_of_modules
from lt_lightning.errors import UsageError, check_thresholds
from lt_lightning.features import Features
from lt_lightning.foreign.last_layers import find_last_linear
from lt_lightning.foreign.loader_features import features_of, first_images, training_features
from lt_lightning.foreign.replacing import bias_of, with_last_linear
from lt_lightning.foreign.running import copied
from lt_lightning.functional import GROUPS
from lt_lightning.heads import Head, LinearHead
from lt_lightning.losses import Loss

_FIGURES = ("all", *GROUPS, "micro")
_WORSE = 0.01  # accuracy lost that is worth a warning


@dataclass(frozen=True)
class Retrained:
    """A module with a retrained last layer.

    Attributes:
        model: A copy of the module, with the better layer in it.
        head: What was trained.
        classifier: Name of the layer in the module.
        settings: Of the method, as a YAML file has them.
        before: Accuracies of the module as it was on the images of ``test_loader``, in [0, 1]: ``all``, ``many``,
            ``medium`` and ``few`` as means over classes, NaN for a group without images, and ``micro`` over images;
            ``None`` without a ``test_loader``.
        after: The same of ``model``.
        class_counts: Training images per class.
        seconds: Of the whole call.
        tried: Settings that were tried on the images of ``val_loader``, each with its accuracy, mean over classes;
            empty without one.
    """

    model: nn.Module = field(repr=False)  # a hundred lines, below which the figures would stand
    head: Head
    classifier: str
    settings: dict[str, Any]
    before: dict[str, float] | None
    after: dict[str, float] | None
    class_counts: list[int]
    seconds: float
    tried: list[TriedPoint] = field(default_factory=list, repr=False)


def retrain(
    model: nn.Module,
    train_loader: Iterable[Any],
    val_loader: Iterable[Any] | None = None,
    *,
    test_loader: Iterable[Any] | None = None,
    method: str | type[Head] | type[Loss] = "lort",
    grid: Mapping[str, Any] | None = None,
    classifier: str | None = None,
    group_thresholds: tuple[int, int] = (20, 100),
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> Retrained:
    """Retrain the last linear layer of any module on what goes into it, by a method for long-tailed data.

    Images pass through the module once, as the loader gives them and in evaluation mode; the layer is then trained on
    these features, with the method's own settings or, given images to choose by, the best of several. The module
    itself is not changed, nor does it move. What comes after ``val_loader`` is given by its name.

    Args:
        model: Any module with a linear layer that makes the logits.
        train_loader: Batches (images, targets) of all training images, in any order: a ``DataLoader``, or anything
            else that can be gone through more than once.
        val_loader: The same of images that the model has not been trained on, by which settings are chosen from
            ``grid``: the best mean accuracy over classes. Figures on the same images would flatter the choice, so give
            others as ``test_loader``.
        test_loader: The same of other images, for figures; nothing is selected on them.
        method: As :func:`find_methods` takes it: ``lort``, ``crt``, ``tau_norm``, a YAML file, …; or the class of a
            head or a loss, in the place of its import path. One with arguments of its own that have no defaults needs a
            YAML file.
        grid: Values by key, of which all combinations are tried: ``lr``, ``weight_decay``, ``momentum``, or an argument
            of the method's loss or head. By default that of ``lt-lightning compare``.
        classifier: Name of the layer, such as ``fc``; found by a batch if not given.
        group_thresholds: ``(low, high)``: more than ``high`` training images is "many", fewer than ``low`` "few".
        seed: Of first weights, of the order of images, and of what parts of one's own draw.
        progress: Whether to show how many batches have passed through the module.
        settings: Instead of the method's own: ``epochs``, ``batch_size``, ``lr``, ``weight_decay``, ``momentum``, or
            an argument of the method's loss or head, such as ``delta``.

    Raises:
        UsageError: If the layer is not found, something after it changes its predictions, a loader or a setting does
            not serve, a class has no image, or the method has no linear form.

    Warns:
        UserWarning: If the new layer is a point or more worse than the old one on the images of ``val_loader`` or,
            without one, of ``test_loader``; if ``train_loader`` is known to show images more than once or not at
            all; if the module returns nothing by which ``classifier`` can be checked; or if another layer shares
            the old layer's tensors and cannot share the new one's.
    """
    started = time.perf_counter()
    seed = _checked_seed(seed)
    _check(model, group_thresholds)
    name_of_method = method_name(method)
    if val_loader is not None and val_loader is train_loader:
        raise UsageError("`val_loader` is `train_loader`; give images that the model has not been trained on.")
    checked = checked_grid(grid, val_loader)
    settings = {key: plain(value) for key, value in settings.items()}
    # The module runs as its caller would run it, but a copy that is made in inference mode could not be trained.
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        images = first_images(train_loader)
        probe = copied(model).eval()
        name, layer = _last_linear(probe, images, classifier)
        parser = SettingsParser()
        with usual_modes():
            wanted = points_of_method(name_of_method, settings, checked, layer, parser)
        features, counts = training_features(probe, name, layer, train_loader, progress)
        held_out, chosen_by = (
            None if loader is None else features_of(probe, name, layer, loader, argument, progress)
            for loader, argument in ((test_loader, "test_loader"), (val_loader, "val_loader"))
        )

    with usual_modes(), torch.random.fork_rng(devices=[]):
        device = device_of_modules(model)
        stage1 = _stage1(layer)
        heads = train(wanted, [seed], features, features, stage1, counts, parser, device)
        head_before = LinearHead(layer.in_features, counts).to(device)
        head_before.init_from(stage1.weight, stage1.bias)

        def figures(head: Head, images: Features | None) -> dict[str, float] | None:
            return None if images is None else _figures(head, images, counts, group_thresholds, device)

        scores = [_score(trained, figures(trained.head, chosen_by)) for trained in heads]
        trained = _best(heads, scores, name_of_method, chosen_by)
        better = to_linear(trained.head)
        before, after = (figures(_kept(one, layer.weight, counts), held_out) for one in (layer, better))
        if (earlier := figures(head_before, chosen_by)) is not None:
            assert chosen_by is not None
            _warn_of_memory(memory_of(head_before, chosen_by, features, device))
            _warn_if_worse(name_of_method, earlier, figures(trained.head, chosen_by), "val_loader")
        else:
            _warn_if_worse(name_of_method, before, after, "test_loader")
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        retrained = with_last_linear(model, name, better, images.to(device))
    return Retrained(
        model=retrained,
        head=trained.head,
        classifier=name,
        settings=trained.point.method.plain,
        before=before,
        after=after,
        class_counts=counts,
        seconds=time.perf_counter() - started,
        tried=[]
        if chosen_by is None
        else [TriedPoint(one.point.values, [score]) for one, score in zip(heads, scores, strict=True)],
    )


def _check(model: object, thresholds: tuple[int, ...]) -> None:
    """Refuse what would only fail when everything has been computed."""
    if not isinstance(model, nn.Module):
        raise UsageError(f"`model` must be an nn.Module, but got {type(model).__name__}.")
    check_thresholds("group_thresholds", thresholds)


def _checked_seed(seed: Any) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**63:
        raise UsageError(f"`seed` must be a whole number of at least 0 and below 2**63, but got {seed!r}.")
    return number


def _last_linear(model: nn.Module, images: Tensor, classifier: str | None) -> tuple[str, nn.Linear]:
    """The layer that is to be retrained, after its name."""
    name = find_last_linear(model, images.to(device_of_modules(model)), classifier)
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    if layer.out_features < 2:
        raise UsageError(
            f"`classifier` {name!r} has 1 output, so it tells no classes apart; give a model with one for each class."
        )
    return name, layer


def _score(trained: Trained, figures: dict[str, float] | None) -> float:
    """What chooses among heads; any number where there is nothing to choose by, for there is one head then."""
    return float("nan") if trained.diverged else 0.0 if figures is None else figures["all"]


def _best(heads: list[Trained], scores: list[float], method: str, chosen_by: Features | None) -> Trained:
    best = choose(scores)
    if best is None:
        advice = "give a smaller learning rate by `lr`"
        if chosen_by is not None:
            advice = "no setting served; give others by `grid`, or try another method"
        raise UsageError(f"Training by `method` {method!r} diverged; {advice}.")
    return heads[best]


def _warn_of_memory(found: Memory | None) -> None:
    if found is None:
        return
    meanings: dict[Meaning, str] = {
        "learnt": "it may have been trained on both, and then `val_loader` selects the wrong settings; give images "
        "that it has not been trained on",
        "chance": "as by chance; its weights, the order of its classes or the preparation of images may not be those "
        "that it was trained with",
        "one class": f"it calls every image class {found.largest}, as networks do that neglect their tail",
    }
    warnings.warn(
        f"The model is no worse on images of `val_loader` ({100 * found.validation:.1f} %) than on those of "
        f"`train_loader` ({100 * found.training:.1f} %), mean over classes: {meanings[found.meaning]}.",
        stacklevel=3,
    )


def _warn_if_worse(method: str, before: dict[str, float] | None, after: dict[str, float] | None, argument: str) -> None:
    if before is None or after is None or not after["all"] <= before["all"] - _WORSE:
        return
    advice = "try another method"
    if argument == "test_loader":
        advice = (
            "its own settings may not suit this network; let `val_loader`, images that the model has not been "
            "trained on, choose others, or try another method"
        )
    warnings.warn(
        f"`method` {method!r} makes the mean accuracy over classes on the images of `{argument}` worse: "
        f"{100 * after['all']:.1f} %, and {100 * before['all']:.1f} % with the layer as it was; {advice}.",
        stacklevel=3,
    )


class _KeptHead(LinearHead):
    """A linear layer in the precision that the module keeps it in, which rounds its weights and its logits."""

    def predict(self, features: Tensor) -> Tensor:
        """Logits ``Wx + b``, ``(N, D)`` to ``(N, K)``."""
        return nn.functional.linear(features.to(self.weight.dtype), self.weight, self.bias)


def _kept(layer: nn.Linear, like: Tensor, counts: list[int]) -> _KeptHead:
    """A layer as the module has it, or will have it: in the type and on the device of another tensor."""
    head = _KeptHead(layer.in_features, counts).to(like)
    head.init_from(layer.weight.detach(), bias_of(layer))
    return head


def _stage1(layer: nn.Linear) -> Stage1:
    bias = bias_of(layer)
    return Stage1(layer.weight.detach().float(), None if bias is None else bias.float())


def _figures(
    head: Head, features: Features, counts: list[int], thresholds: tuple[int, int], device: torch.device
) -> dict[str, float]:
    (correct,) = count_correct([head.eval()], features, device)
    if correct is None:  # of infinite weights, or an input that is none
        return dict.fromkeys(_FIGURES, float("nan"))
    found = accuracies(correct, features.targets, counts, thresholds)
    return {name: found[name] for name in _FIGURES}
