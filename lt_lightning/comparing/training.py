"""Many settings and seeds, trained at once on one set of features."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.settings import Settings, SettingsParser, as_text
from lt_lightning.devices.random_state import RandomState
from lt_lightning.features import Features
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.modules.starting import check_kept, start_head
from lt_lightning.packages import is_ours
from lt_lightning.progress import Advance
from lt_lightning.retraining import HeadRun, train_heads
from lt_lightning.retraining.naming import naming
from lt_lightning.samplers import EpochSampler

_MOST_OF_DEVICE = 0.5  # of its free memory; more features than that stay where they are


@dataclass(frozen=True)
class Stage1:
    """The classifier that all heads start from: ``(K, D)`` and ``(K,)`` or ``None``."""

    weight: Tensor
    bias: Tensor | None


@dataclass(eq=False)
class Trained:
    """One head of one point and seed.

    Attributes:
        point: Its settings.
        seed: Of its first weights, of the order of images, and of what parts of one's own draw.
        head: Trained, in evaluation mode.
        loss: It was trained with.
        epochs: That it was trained for, 0 if there was nothing to train.
        seconds: Its share of the time of training.
        temperature: Fitted on validation images; ``None`` where there are none, and of heads that are not chosen.
    """

    point: Point
    seed: int
    head: Head
    loss: Loss
    epochs: int = 0
    seconds: float = 0.0
    temperature: float | None = None

    @property
    def diverged(self) -> bool:
        """Whether a number of the head is infinite or NaN."""
        values = [*self.head.parameters(), *self.head.buffers()]
        return not all(bool(value.isfinite().all()) for value in values if value.is_floating_point())


class ShownRows:
    """Features as :func:`train_heads` takes them, on the device of the heads.

    Args:
        features: Of the training images.
        device: Where batches are wanted.
    """

    def __init__(self, features: Features, device: torch.device) -> None:
        self.device = device
        self.features = on_device(features, device)
        self._shown: tuple[int, Tensor] = (-1, self.features.targets)

    def take(self, indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Features ``(B, D)`` in fp32 and classes ``(B,)`` of some images, in the view that an epoch shows."""
        if self._shown[0] != epoch:
            self._shown = (epoch, self.features.shown(epoch).to(self.features.targets.device))
        # Whoever sends something to a GPU need not wait until it has come.
        indices = indices.to(self.features.targets.device, non_blocking=True)
        rows, targets = self.features.rows(indices, self._shown[1]), self.features.targets[indices]
        return rows.to(self.device, non_blocking=True).float(), targets.to(self.device, non_blocking=True)


def make_head(
    settings: Settings,
    random_state: RandomState,
    stage1: Stage1,
    class_counts: list[int],
    plain: Callable[[], tuple[Tensor, Tensor]],
    device: torch.device,
) -> tuple[Head, Loss]:
    """A head as training begins with it, and its loss, both in evaluation mode.

    Args:
        settings: Of the method.
        random_state: What the first weights are drawn from, and whatever else a head of one's own draws as it starts.
        stage1: What the head starts from.
        class_counts: Training images per class.
        plain: Gives the features of all training images without augmentation, ``(N, D)`` as they are stored, and their
            classes; called for a head that is made from features, of which one's own gets them in fp32.
        device: Of head, loss and these features.
    """
    with random_state.drawn_from():
        head, loss = settings.parts(stage1.weight.shape[1], class_counts)
        head, loss = head.to(device), loss.to(device)
        with check_kept(head):
            start_head(head, loss, stage1.weight, stage1.bias)
            if head.needs_features:
                rows, targets = plain()
                # Heads of ours raise a part after the other; all rows in fp32 may be more than memory holds.
                head.init_from_features(rows if is_ours(type(head)) else rows.float(), targets)
    return head.eval(), loss.eval()


def train(
    points: Iterable[Point],
    seeds: Sequence[int],
    features: Features,
    plain: Features,
    stage1: Stage1,
    class_counts: list[int],
    parser: SettingsParser,
    device: torch.device,
    on_step: Advance | None = None,
) -> list[Trained]:
    """Train every point with every seed; what trains nothing is made once.

    Args:
        points: The settings.
        seeds: Seeds of first weights, of the order of images, and of what parts of one's own draw.
        features: Of the training images, as training shows them.
        plain: Of the same images without augmentation, for heads that are made from features.
        stage1: What heads start from.
        class_counts: Training images per class.
        parser: Makes the parts.
        device: Where heads are trained.
        on_step: As :func:`train_heads` takes it.

    Returns:
        In the order of points, then seeds.
    """
    found: list[Trained] = []
    runs: list[HeadRun] = []
    samplers: dict[tuple[str, int, int], EpochSampler] = {}
    whole = cache(partial(whole_features, plain, device))
    for point in points:
        method = point.method
        settings = parser.make(method.plain, method.name)
        with naming(method.name):
            for seed in seeds if method.trains else seeds[:1]:
                random_state = RandomState(seed, device)
                head, loss = make_head(settings, random_state, stage1, class_counts, whole, device)
                trained = Trained(point, seed, head, loss)
                found.append(trained)
                if not method.trains:
                    continue
                trained.epochs = settings.epochs
                which = (as_text(method.plain.get("sampler")), seed, settings.epochs)
                if which not in samplers:
                    samplers[which] = settings.sampler(plain.targets, seed)
                    samplers[which].set_epochs(settings.epochs)
                moved_by = settings.training(head, loss)
                length = (settings.batch_size, settings.epochs)
                runs.append(HeadRun(head, loss, *moved_by, samplers[which], *length, method.name, random_state))
    whole.cache_clear()  # what trains may need the room
    train_heads(runs, ShownRows(features, device), on_step)
    for trained, run in zip((trained for trained in found if trained.epochs), runs, strict=True):
        trained.seconds = run.seconds
    return found


def whole_features(features: Features, device: torch.device) -> tuple[Tensor, Tensor]:
    """All features, ``(N, D)`` as they are stored, and classes; a copy only where they are on another device."""
    return features.values[0].to(device), features.targets.to(device)


def on_device(features: Features, device: torch.device) -> Features:
    """The same features on a GPU that has room for them; otherwise they stay where they are."""
    if device.type != "cuda":
        return features
    free, _ = torch.cuda.mem_get_info(device)
    if features.values.nbytes > _MOST_OF_DEVICE * free:
        return features
    moved = (features.values.to(device), features.targets.to(device))
    return Features(*moved, features.views, features.seed, features.record)
