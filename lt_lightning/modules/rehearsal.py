"""One step of a head and a loss on random features, before an image passes through a network."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from lt_lightning.checkpoints import RECORD
from lt_lightning.checkpoints.head_record import head_record
from lt_lightning.checkpoints.reading import in_contents
from lt_lightning.errors import UsageError
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.modules.base import LTModule
from lt_lightning.modules.retrain import RetrainModule
from lt_lightning.modules.starting import check_kept, start_head
from lt_lightning.packages import is_ours

Step = Callable[[Head, Loss, Tensor, Tensor], object]
"""Moves a head and a loss by a batch of features ``(B, D)`` and classes ``(B,)``."""

_MOST_ROWS = 256  # of a batch; enough for a loss that wants many, little for 8,142 classes
_MOST_NUMBERS = 2**24  # of the features that a head is made from: 64 MiB, a second at most


def rehearse(
    head: Head, loss: Loss, weight: Tensor, bias: Tensor | None, rows: int, step: Step | None, device: torch.device
) -> None:
    """Start copies of a head and a loss from a classifier, and let them take a step and predict.

    A head that is made from features gets random ones of as many images as train, unless these would take much memory.
    A part that refuses random features by a ``ValueError`` or an ``assert`` is passed over: it may look at their
    values, and the true ones may suit it. So is a head that cannot be made from them, as where a matrix is singular,
    unless its code names what there is not. What it makes of them takes as long as it will of the true ones: fewer
    images would not be those that it counts on.

    Args:
        head: Left as it is.
        loss: Left as it is.
        weight: ``(K, D)`` of the classifier that the head is to start from.
        bias: ``(K,)``, or none.
        rows: Images of a batch; no more than 256 are taken.
        step: How the parts are trained; ``None`` if nothing trains.
        device: Where they are.

    Raises:
        UsageError: If a part breaks its contract. What else a part raises is left as it is.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(0)
        try:
            head, loss = deepcopy((head, loss))  # both may share what a nested class has given them
        except Exception:  # not everything can be copied, and nothing else asks for it
            return
        head, loss = head.to(device), loss.to(device)
        if head.needs_features:
            start_head(head, loss, weight, bias)
            if not _made_from_features(head, device):
                return
        else:
            with check_kept(head):
                start_head(head, loss, weight, bias)
        targets = (torch.arange(min(rows, _MOST_ROWS)) % head.num_classes).to(device)
        features = _random_features(head, targets)
        try:
            if step is not None:
                step(head, loss, features, targets)
            with torch.no_grad():
                loss.probabilities(head.eval().predict(features))
        except UsageError:
            raise
        except (AssertionError, ValueError):
            return


def _random_features(head: Head, targets: Tensor) -> Tensor:
    # As behind a ReLU: some are exactly 0. In place, as they may be many.
    return torch.randn(len(targets), head.in_features).relu_().to(targets.device)


def _made_from_features(head: Head, device: torch.device) -> bool:
    """Make a head from random features of each class's images; whether that has worked."""
    if sum(head.class_counts) * head.in_features > _MOST_NUMBERS:
        return False
    targets = torch.repeat_interleave(torch.tensor(head.class_counts)).to(device)
    try:
        with check_kept(head):
            head.init_from_features(_random_features(head, targets), targets)
    except (UsageError, AttributeError, NameError, TypeError):  # wrong whatever the features are
        raise
    except Exception:  # it looks at their values, and the true ones may suit it
        return False
    return True


def rehearse_module(module: RetrainModule, rows: object, device: torch.device) -> None:
    """Let the head and the loss of a stage 2 take a step, if one of them is one's own.

    It starts from a classifier that stands for stage 1's. A head that refuses it by a ``ValueError`` or an ``assert``
    is passed over too: the true one may have no bias, or suit it otherwise.

    Args:
        module: Left as it is. One of one's own may call its parts otherwise, and is passed over.
        rows: Images of a batch, where the data say how many.
        device: Where stage 2 trains.

    Raises:
        UsageError: If a part breaks its contract. What else a part raises is left as it is.
    """
    head, loss = module.head, module.loss
    if not is_ours(type(module)) or (is_ours(type(head)) and is_ours(type(loss))):
        return

    def step(head: Head, loss: Loss, features: Tensor, targets: Tensor) -> None:
        loss(head(features), targets, features).backward()

    with torch.random.fork_rng(devices=[]):
        classifier = nn.Linear(head.in_features, head.num_classes).requires_grad_(False)
    size = rows if isinstance(rows, int) and rows > 0 else 64
    try:
        rehearse(head, loss, classifier.weight, classifier.bias, size, step if module.trains else None, device)
    except UsageError:
        raise
    except (AssertionError, ValueError):
        return


def rehearse_start(module: RetrainModule, stage1: LTModule) -> None:
    """Look for what a stage 2 starts from in what stage 1 will save: training changes no names and no shapes.

    Args:
        module: Left as it is.
        stage1: As made. Of one of one's own only its run tells what it saves, and it is passed over.

    Raises:
        UsageError: As :meth:`RetrainModule.find_in` does of the file.
    """
    if not (is_ours(type(module)) and is_ours(type(stage1))):
        return
    # A first batch may fill what is not a number yet.
    state = stage1.state_dict().items()
    weights = {key: value.nan_to_num(0, 0, 0) if _is_unfilled(value) else value for key, value in state}
    record = {"class_counts": stage1.class_counts, "head": head_record(stage1.head)}
    module.find_in(in_contents({"state_dict": weights, RECORD: record}, Path(module.checkpoint)))


def _is_unfilled(value: object) -> bool:
    return isinstance(value, Tensor) and not bool(torch.isfinite(value).all())
