"""What every data module has: sharding, counts that must hold, and its place in an epoch."""

import pytest
import torch
from torch import Tensor

from lt_lightning.data import DigitsLT, LTDataModule
from lt_lightning.errors import UsageError
from lt_lightning.samplers import ClassBalancedSampler, ShardedBatchSampler


class Images:
    """Grey images whose pixels are their position."""

    def __init__(self, targets: list[int]) -> None:
        self.targets = torch.tensor(targets)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        pixels = torch.tensor(indices, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)
        return pixels, self.targets[indices]


class Made(LTDataModule):
    """A source that announces ``announced`` and has ``splits``."""

    def __init__(self, announced, splits, **options):
        super().__init__(**options)
        self.announced = announced
        self.splits = splits
        self.loads = []

    @property
    def class_counts(self):
        return self.announced

    @property
    def class_names(self):
        return [f"class {label}" for label in range(len(self.announced))]

    def load(self, split):
        self.loads.append(split)
        return Images(self.splits[split]) if split in self.splits else None

    def to_input(self, images, training, generator):
        return images.float()


@pytest.fixture
def made():
    return Made([3, 1], {"train": [0, 0, 1, 0], "test": [0, 1, 1]}, batch_size=2, eval_batch_size=2)


def test_loaders_show_each_image_once(made):
    made.setup("fit")
    made.setup("test")
    train = torch.cat([images[:, 0, 0, 0] for images, _ in made.train_dataloader()])
    assert sorted(train.tolist()) == [0, 1, 2, 3]
    for loader in (made.test_dataloader(), made.predict_dataloader()):
        assert torch.cat([images[:, 0, 0, 0] for images, _ in loader]).tolist() == [0, 1, 2]
    assert made.val_dataloader() == []
    assert made.loads == ["train", "val", "test"]  # each split is loaded once
    assert made.describe_split() == {"train": 4, "test": 3}


def test_announced_counts_must_hold():
    with pytest.raises(UsageError, match=r"class 1 number 2, but 1 were announced by `class_counts` of `Made`"):
        Made([2, 1], {"train": [0, 0, 1, 1]}).setup("fit")


@pytest.mark.parametrize(("stage", "what"), [("validate", "validation"), ("test", "test"), ("predict", "test")])
def test_a_command_without_its_images_says_so(stage, what):
    with pytest.raises(UsageError, match=f"`Made` has no {what} images; `{stage}` needs some"):
        Made([2], {"train": [0, 0]}).setup(stage)


def test_training_needs_images():
    with pytest.raises(UsageError, match="`Made` has no training images"):
        Made([2], {}).setup("fit")
    with pytest.raises(UsageError, match=r"needs `setup\('fit'\)` first"):
        Made([2], {"train": [0, 0]}).train_dataloader()
    with pytest.raises(UsageError, match="`predict` needs some"):
        Made([2], {}).predict_dataloader()


def test_sampler_is_injected_and_seeded(monkeypatch):
    orders = []
    for seed in ("1", "1", "2"):
        monkeypatch.setenv("PL_GLOBAL_SEED", seed)
        data = DigitsLT(sampler=ClassBalancedSampler)
        data.setup("fit")
        orders.append(data.train_sampler.indices(0).tolist())
    assert orders[0] == orders[1] != orders[2]
    assert data.rebalances
    assert not DigitsLT().rebalances


def test_resumed_epoch_skips_what_was_seen(made):
    made.setup("fit")
    made.load_state_dict({"batches_seen": 1})
    loader = made.train_dataloader()
    assert isinstance(loader.batch_sampler, ShardedBatchSampler)
    assert len(list(loader)) == 1
    assert len(list(loader)) == 2
    assert len(loader) == 2


def test_state_records_what_was_trained_on(made):
    made.setup("fit")
    assert made.state_dict() == {"split": {"train": 4}, "class_counts": [3, 1]}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 0}, "`data.batch_size` must be at least 1, but got 0"),
        ({"eval_batch_size": -1}, "`data.eval_batch_size` must be at least 1, but got -1"),
        ({"num_workers": -2}, "`data.num_workers` must be at least 0, but got -2"),
        ({"group_thresholds": (5, 3)}, r"must be \(low, high\) with 0 <= low <= high, but got \(5, 3\)"),
    ],
)
def test_options_are_checked(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        Made([1], {}, **options)
