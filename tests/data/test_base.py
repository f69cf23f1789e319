"""What every data module has: sharding, counts that must hold, and its place in an epoch."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lt_lightning.augmentations import Cutout, NoAugmentation
from lt_lightning.backbones import Identity
from lt_lightning.data import CIFAR10LT, CIFAR100LT, MNISTLT, DigitsLT, ImageFolderLT, ImageListLT, LTDataModule
from lt_lightning.errors import UsageError
from lt_lightning.modules import RepresentationModule
from lt_lightning.samplers import (
    ClassBalancedSampler,
    EpochSampler,
    MultinomialSampler,
    ProgressiveSampler,
    ShardedBatchSampler,
)


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


def test_augmentation_is_described_where_there_is_one(made):
    assert made.describe_augmentation() is None
    made.augmentation = Cutout(length=3)
    assert made.describe_augmentation() == {
        "class": "lt_lightning.augmentations.cutout.Cutout",
        "length": 3,
        "fill": 0,
    }


@pytest.mark.parametrize(
    ("kind", "channels", "options"),
    [
        (DigitsLT, 1, {}),
        (MNISTLT, 1, {}),
        (CIFAR10LT, 3, {}),
        (CIFAR100LT, 3, {}),
        (ImageFolderLT, 3, {}),
        (ImageListLT, 3, {"root": "data", "train_list": "train.txt"}),
    ],
)
def test_every_set_takes_an_augmentation_or_none(kind, channels, options):
    images = torch.full((16, channels, 12, 12), 200, dtype=torch.uint8)
    seen = []
    for augmentation, expected in ((Cutout, Cutout()), (NoAugmentation, NoAugmentation()), (None, NoAugmentation())):
        data = kind(**options, augmentation=augmentation)
        assert data.describe_augmentation() == expected.describe()
        seen.append(data.to_input(images, True, torch.Generator().manual_seed(0)))
    assert torch.equal(seen[1], seen[2])
    assert not torch.equal(seen[0], seen[1])


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
    Made((2, 1), {"train": [0, 1, 0]}).setup("fit")  # nor need they be a list


@pytest.mark.parametrize(
    ("split", "splits", "sentence"),
    [
        (
            "train",
            {"train": [0, 0, 1, 2]},
            "image 3 of the split 'train' the class 2, but .* the classes 0 to 1",
        ),
        ("val", {"train": [0, 0, 1], "val": [1, -1]}, "image 1 of the split 'val' the class -1"),
        ("test", {"train": [0, 0, 1], "test": [2]}, "image 0 of the split 'test' the class 2"),
    ],
)
def test_targets_that_name_no_class_are_refused(split, splits, sentence):
    with pytest.raises(UsageError, match=f"`Made` gives {sentence}"):
        Made([2, 1], splits).split(split)


def test_the_class_of_a_test_image_may_be_unknown():
    data = Made([2], {"test": [0, -1]})
    data.setup("predict")
    assert data.split("test").targets.tolist() == [0, -1]


@pytest.mark.parametrize(("stage", "what"), [("validate", "validation"), ("test", "test"), ("predict", "test")])
def test_a_command_without_its_images_says_so(stage, what):
    for said in (stage, TrainerFn(stage)):
        with pytest.raises(UsageError, match=f"`Made` has no {what} images; `{stage}` needs some\\.$"):
            Made([2], {"train": [0, 0]}).setup(said)


def test_training_needs_images():
    with pytest.raises(UsageError, match=r"`Made` has no training images; `fit` needs some\.$"):
        Made([2], {}).setup("fit")
    with pytest.raises(UsageError, match=r"needs `setup\('fit'\)` first"):
        Made([2], {"train": [0, 0]}).train_dataloader()
    with pytest.raises(UsageError, match="`predict` needs some"):
        Made([2], {}).predict_dataloader()


def test_images_that_are_required_are_there_or_the_error_says_what_to_give(folder_root):
    files = ImageFolderLT(str(folder_root), image_size=16)
    assert files.required("train") is files.split("train")
    pixels, targets = files.required("train", undistorted=True).__getitems__([0, 12])
    again, _ = files.undistorted("train").__getitems__([0, 12])
    assert torch.equal(pixels, again)
    assert targets.tolist() == [0, 1]
    made = Made([2], {"train": [0, 0]})
    for undistorted in (True, False):
        with pytest.raises(UsageError, match=r"`Made` has no test images; `compare` needs some\.$"):
            made.required("test", "compare", undistorted)
    made.remedy_for = lambda name: f"fill {name}"
    with pytest.raises(UsageError, match=r"has no validation images; fill val\.$"):
        made.required("val")
    with pytest.raises(UsageError, match=r"has no validation images; `validate` needs some: fill val\.$"):
        made.required("val", "validate")


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


class Drawless(EpochSampler):
    """Does not say what it draws."""


@pytest.mark.parametrize("sampler", [EpochSampler, MultinomialSampler, Drawless, partial(MultinomialSampler, seed=1)])
def test_a_sampler_that_lacks_methods_is_said_to(sampler):
    data, lacks = DigitsLT(sampler=sampler), "abstract class .*(draw|class_prob.*)'?: a base class, or one of your own"
    with pytest.raises(UsageError, match=lacks):
        _ = data.rebalances
    with pytest.raises(UsageError, match=lacks):
        data.setup("fit")


class PerImage(EpochSampler):
    """Has something of each image, and more of them to show in each epoch."""

    rebalances = True

    def __init__(self, targets, seed=0):
        super().__init__(targets, seed)
        if len(self.targets) != sum(DigitsLT().class_counts):
            raise ValueError(f"nothing of {len(self.targets)} images")

    def __len__(self):
        return 100 + self.epoch

    def draw(self, generator):
        return torch.randperm(len(self.targets), generator=generator)[: len(self)]


def test_a_sampler_is_asked_whether_it_rebalances_with_as_many_targets_as_images():
    assert DigitsLT(sampler=PerImage).rebalances


def test_epochs_of_several_lengths_are_refused_before_anything_trains(trainer, digits, stage1_module):
    data, targets = digits(sampler=PerImage), Targets()
    with pytest.raises(UsageError, match="PerImage shows 100 images in epoch 0 and 101 in epoch 1, but an epoch has"):
        trainer(max_epochs=2, callbacks=[targets]).fit(stage1_module(data), datamodule=data)
    assert targets.seen == []


class Targets(Callback):
    """Notes the classes of each training batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.append(batch[1].tolist())


def test_a_sampler_learns_how_long_training_is(trainer, digits, stage1_module):
    data, targets = digits(sampler=ProgressiveSampler), Targets()
    assert data.rebalances  # known before anything is drawn
    trainer(max_epochs=3, callbacks=[targets]).fit(stage1_module(data), datamodule=data)
    assert data.train_sampler.epochs == 3
    few = [sum(label >= 6 for batch in targets.seen[step : step + 5] for label in batch) for step in (0, 5, 10)]
    assert few[0] < few[1] < few[2]


def test_a_sampler_that_needs_an_end_is_refused_without_one(trainer, digits, stage1_module):
    data = digits(sampler=ProgressiveSampler)
    with pytest.raises(UsageError, match=r"needs to know where training ends: set `trainer\.max_epochs`"):
        trainer(max_epochs=-1, max_steps=3).fit(stage1_module(data), datamodule=data)
    data = digits(sampler=lambda targets, seed: ProgressiveSampler(targets, seed, epochs=4))
    module = stage1_module(data, lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1))
    trainer(max_epochs=-1, max_steps=3).fit(module, datamodule=data)
    assert data.train_sampler.epochs == 4


class Capped(EpochSampler):
    """At most 20 images of each class: shorter epochs than the training set is long."""

    def __len__(self):
        return int(self.class_counts.clamp(max=20).sum())

    def draw(self, generator):
        order = torch.randperm(len(self.targets), generator=generator)
        return torch.cat([order[self.targets[order] == label][:20] for label in range(len(self.class_counts))])


@pytest.mark.parametrize("sampler", [ProgressiveSampler, Capped])
def test_a_run_resumed_inside_an_epoch_sees_what_it_had_not(tmp_path, trainer, digits, stage1_module, sampler):
    runs = []
    for again in (False, True):
        data, targets = digits(sampler=sampler, batch_size=40), Targets()
        keep = ModelCheckpoint(tmp_path / str(again), filename="{step}", save_top_k=-1, every_n_train_steps=1)
        run = trainer(max_epochs=3, callbacks=[targets, keep], enable_checkpointing=True)
        run.fit(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "False/step=5.ckpt" if again else None)
        runs.append(targets.seen)
    assert runs[1] == runs[0][5:]
    assert len(runs[0]) % 3 == 0


def test_overfitting_shows_the_same_batches_in_each_epoch(trainer, digits, stage1_module):
    data, targets = digits(sampler=ClassBalancedSampler), Targets()
    trainer(max_epochs=3, callbacks=[targets], overfit_batches=2).fit(stage1_module(data), datamodule=data)
    assert targets.seen == targets.seen[:2] * 3
    assert targets.seen[0] != targets.seen[1]


def test_an_epoch_ends_in_batches_of_the_size_it_began_with(tmp_path, trainer, digits, stage1_module):
    data = digits(batch_size=40)
    keep = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=1)
    trainer(callbacks=[keep], enable_checkpointing=True).fit(stage1_module(data), datamodule=data)
    other = digits(batch_size=20)

    def resumed():
        again = ModelCheckpoint(tmp_path / "again", filename="{step}", save_top_k=-1, every_n_train_steps=1)
        return trainer(max_epochs=2, callbacks=[again], enable_checkpointing=True)

    sentence = r"`data.batch_size` is 20, but `ckpt_path` was written 5 batches of 40 into an epoch"
    with pytest.raises(UsageError, match=sentence):
        resumed().fit(stage1_module(other), datamodule=other, ckpt_path=tmp_path / "step=5.ckpt")
    sentence = "was written after the last of 7 batches of an epoch, but one of this run has 14"
    with pytest.raises(UsageError, match=sentence):
        resumed().fit(stage1_module(other), datamodule=other, ckpt_path=tmp_path / "step=7.ckpt")


def test_resumed_epoch_skips_what_was_seen(made):
    made.setup("fit")
    made.load_state_dict({"batches_seen": 1})
    loader = made.train_dataloader()
    assert isinstance(loader.batch_sampler, ShardedBatchSampler)
    assert len(list(loader)) == 1
    assert len(list(loader)) == 2
    assert len(loader) == len(list(made.train_dataloader())) == 2  # nor does a run that follows skip any


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 0}, "`data.batch_size` must be at least 1, but got 0"),
        ({"eval_batch_size": -1}, "`data.eval_batch_size` must be at least 1, but got -1"),
        ({"num_workers": -2}, "`data.num_workers` must be at least 0, but got -2"),
        ({"sampler": ClassBalancedSampler([0])}, "`data.sampler` must be what makes one, such as the class `Class"),
        ({"group_thresholds": (5, 3)}, r"must be \(low, high\) with 0 <= low <= high, but got \(5, 3\)"),
    ],
)
def test_options_are_checked(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        Made([1], {}, **options)


def test_a_split_of_another_name_is_refused(made):
    with pytest.raises(UsageError, match="`split` must be one of train, val, test, but got 'validation'"):
        made.split("validation")


def test_fingerprints_depend_on_pixels_and_their_order():
    def found(targets, split="train"):
        return Made([2, 1], {"train": targets, "test": [0]}).fingerprint(split)

    assert found([0, 0, 1]) == found([0, 1, 0])  # what an image shows, not what it is called
    assert found([0, 0, 1]) != found([0, 0, 1], "test")
    swapped = Made([2, 1], {"train": [0, 0, 1]})
    images = swapped.split("train")
    original = images.__getitems__
    images.__getitems__ = lambda indices: original(indices[::-1])
    assert swapped.fingerprint("train") != found([0, 0, 1])
    assert len(Made([2], {}).fingerprint("val")) == 64


def test_a_source_is_described_by_its_plain_options(made):
    described = made.describe_transform(training=True)
    assert described == {"class": f"{__name__}.Made", "announced": [3, 1], "loads": []}
    made.sharpness = 0.5
    assert made.describe_transform(training=True) == described | {"sharpness": 0.5}
    made.mean, made.paths = [0.5, 0.25], ["a.png"]  # numbers may change what an image becomes
    assert made.describe_transform(training=True) == described | {"sharpness": 0.5, "mean": [0.5, 0.25]}


def test_views_are_listed_by_those_who_can(made):
    with pytest.raises(UsageError, match=r'`views` "all" needs augmentation of which .*, but `Made` has none; give a'):
        made.count_views()
    with pytest.raises(UsageError, match="`Made` cannot list its views: it defines no `to_view`"):
        made.to_view(torch.zeros(1, 1, 2, 2), 0)
    assert made.undistorted("train") is made.split("train")


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_undistorted_batches_show_each_image_once_over_all_processes(monkeypatch, made, world_size):
    seen = []
    for rank in range(world_size):
        monkeypatch.setattr(made, "_process", lambda rank=rank: (rank, world_size))
        for images, targets in made.undistorted_batches("train", torch.device("cpu")):
            assert images.dtype == torch.float32  # network input
            assert len(images) <= made.eval_batch_size
            seen += [(int(image[0, 0, 0]), int(target)) for image, target in zip(images, targets, strict=True)]
    assert sorted(seen) == [(0, 0), (1, 0), (2, 1), (3, 0)]
    with pytest.raises(UsageError, match=r"`Made` has no validation images\.$"):
        next(made.undistorted_batches("val", torch.device("cpu")))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_predict_shares_that_have_no_image_in_common(monkeypatch, world_size):
    data = Made([1], {"train": [0], "test": [0] * 7})
    shares = []
    for rank in range(world_size):
        monkeypatch.setattr(data, "_process", lambda rank=rank: (rank, world_size))
        shares.append(list(data.predict_dataloader().sampler))
    assert sorted(index for share in shares for index in share) == list(range(7))
    assert all(share == sorted(share) for share in shares)


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True)])
def test_memory_is_pinned_for_runs_on_a_gpu_alone(monkeypatch, made, device, pinned):
    """Pinning begins to use a GPU, also where a run on the CPU should leave it to others."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert made.test_dataloader().pin_memory  # as long as nobody knows
    strategy = SimpleNamespace(root_device=torch.device(device))
    made.trainer = SimpleNamespace(strategy=strategy, global_rank=0, world_size=1)
    assert made.test_dataloader().pin_memory is pinned


@pytest.mark.parametrize(
    ("images", "lacks"),
    [
        (
            TensorDataset(torch.zeros(3, 1, 2, 2), torch.zeros(3)),
            "TensorDataset has no `targets` that are an int64 tensor",
        ),
        (SimpleNamespace(targets=[0, 0, 1]), "SimpleNamespace has no `targets` that are an int64 tensor"),
        (SimpleNamespace(targets=torch.zeros(3)), "SimpleNamespace has no `targets` that are an int64 tensor"),
        (SimpleNamespace(targets=torch.tensor([0, 0, 1])), "SimpleNamespace has no `__getitems__`"),
    ],
)
def test_a_dataset_of_single_images_is_refused(monkeypatch, made, images, lacks):
    monkeypatch.setattr(made, "load", lambda split: images)
    with pytest.raises(UsageError, match=r"`Made.load\('train'\)` must give images with `targets` and .* its " + lacks):
        made.setup("fit")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda images, targets: (images, targets, targets), r"a tuple of Tensor \(2, 1, 2, 2\), Tensor \(2,\), Te"),
        (lambda images, targets: list(zip(images, targets, strict=True)), "a list of tuple, tuple"),
        (lambda images, targets: {"pixels": images, "label": targets}, "a dictionary with 'pixels', 'label'"),
    ],
)
def test_batches_that_are_no_pairs_are_refused(monkeypatch, made, trainer, change, found):
    read = Images.__getitems__
    monkeypatch.setattr(Images, "__getitems__", lambda images, indices: change(*read(images, indices)))
    message = rf"must give batches \(images, targets\), two tensors, but gave {found}"
    module = RepresentationModule(made.class_counts, Identity(4))
    with pytest.raises(UsageError, match=f"^`Made` {message}"):
        trainer().fit(module, datamodule=made)
    with pytest.raises(UsageError, match=f"^`Made` {message}"):
        next(made.undistorted_batches("train", torch.device("cpu")))
    if "Tensor" not in found:  # where only images are looked at, anything may stand behind them
        with pytest.raises(UsageError, match=r"^`Images` must give batches"):
            made.fingerprint("train")


def test_names_may_stand_behind_images_that_are_predicted(monkeypatch, made, trainer):
    named = DataLoader([(torch.zeros(2, 4), ["a.png", "b.png"])], batch_size=None)
    monkeypatch.setattr(made, "predict_dataloader", lambda: named)
    (found,) = trainer().predict(RepresentationModule(made.class_counts, Identity(4)), datamodule=made)
    assert (len(found["logits"]), found["targets"]) == (2, ["a.png", "b.png"])


def test_augmentation_draws_anew_for_each_seed_epoch_batch_and_process(monkeypatch, made):
    def seed(run=0, epoch=0, batch=0, rank=0):
        monkeypatch.setenv("PL_GLOBAL_SEED", str(run))
        loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_idx=batch))
        made.trainer = SimpleNamespace(current_epoch=epoch, fit_loop=loop, global_rank=rank, world_size=2)
        return made._augmentation_generator(torch.device("cpu")).initial_seed()

    assert seed() == seed()
    assert len({seed(), *(seed(**{name: 1}) for name in ("run", "epoch", "batch", "rank"))}) == 5
