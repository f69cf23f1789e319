"""One step of each method with a part of one's own, before any image passes through a network."""

from collections.abc import Iterable
from copy import deepcopy

import torch

from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.methods import Method
from lt_lightning.comparing.settings import SettingsParser
from lt_lightning.comparing.training import Stage1
from lt_lightning.errors import UsageError
from lt_lightning.modules.starting import check_kept, start_head
from lt_lightning.retraining import HeadRun, naming, try_step

_MOST_ROWS = 256  # of a batch; enough for a loss that wants many, little for 8,142 classes


def rehearse(
    points: Iterable[Point], stage1: Stage1, class_counts: list[int], parser: SettingsParser, device: torch.device
) -> None:
    """Let methods take a step on random features of the true length, so that one that fails does so at once.

    The package's own parts with SGD are known to serve and are left out. So is what a head makes of the training
    images' features, and a part that refuses the features by a ``ValueError`` or an ``assert``: it may look at their
    values, and the true ones may suit it.

    Args:
        points: One of each method.
        stage1: What heads start from.
        class_counts: Training images per class, length K.
        parser: Makes the parts.
        device: Where heads are trained.

    Raises:
        UsageError: If a part breaks its contract. What else a part raises is left as it is, and names the method.
    """
    for method in (point.method for point in points):
        if parser.from_elsewhere(method.plain, method.name):
            try:
                with naming(method.name):
                    _rehearse(method, stage1, class_counts, parser, device)
            except UsageError as error:
                raise UsageError(f"`methods` {method.name}: {error}") from error


def _rehearse(
    method: Method, stage1: Stage1, class_counts: list[int], parser: SettingsParser, device: torch.device
) -> None:
    settings = parser.make(method.plain, method.name)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(0)
        parts = settings.parts(stage1.weight.shape[1], class_counts)
        try:
            head, loss = deepcopy(parts)  # all heads of a method may share what it was given by a nested class
        except Exception:  # not everything can be copied, and nothing else asks for it
            return
        head, loss = head.to(device), loss.to(device)
        if head.needs_features:
            start_head(head, loss, stage1.weight, stage1.bias)
            return
        with check_kept(head):
            start_head(head, loss, stage1.weight, stage1.bias)
        rows = min(settings.batch_size, _MOST_ROWS)
        features = torch.randn(rows, head.in_features).abs().to(device)
        targets = torch.arange(rows) % head.num_classes
        try:
            if method.trains:
                sampler = settings.sampler(targets, 0)
                run = HeadRun(head, loss, *settings.training(head, loss), sampler, rows, 1)
                try_step(run, features, targets.to(device))
            with torch.no_grad():
                head.eval().predict(features)
        except UsageError:
            raise
        except (AssertionError, ValueError):
            return
