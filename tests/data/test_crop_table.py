"""The fast path of small images: the law of its crops, and its place in a run."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback
from torchvision.transforms import v2

from lt_lightning.data import crop_table
from lt_lightning.data.crop_table import CropTable, RowLoader
from lt_lightning.functional.augment import normalize, random_crop, random_horizontal_flip
from lt_lightning.samplers import InstanceSampler, ShardedBatchSampler

CPU = torch.device("cpu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(count, channels=3, height=5, width=6):
    return torch.randint(1, 256, (count, channels, height, width), generator=seeded(), dtype=torch.uint8)


@settings(max_examples=20)
@given(
    st.sampled_from([1, 3]), st.integers(2, 6), st.integers(2, 6), st.integers(0, 4), st.booleans(), st.integers(0, 99)
)
def test_it_draws_what_cropping_and_flipping_draw(channels, height, width, padding, flip, seed):
    images = random_images(7, channels, height, width)
    rows = torch.tensor([6, 0, 3, 3, 1, 6])
    expected = random_crop(images[rows], padding, generator := seeded(seed))
    expected = random_horizontal_flip(expected, generator) if flip else expected
    drawn = CropTable(images, padding, flip, CPU).draw(rows, seeded(seed))
    assert torch.equal(drawn, expected)
    assert drawn.is_contiguous(memory_format=torch.channels_last)


def views_of(image):
    """Index of each of the 162 views by its pixels; all differ."""
    padded = torch.nn.functional.pad(image, (4,) * 4)
    crops = [padded[:, top : top + 6, left : left + 6] for top in range(9) for left in range(9)]
    views = [*crops, *(crop.flip(-1) for crop in crops)]
    return {view.numpy().tobytes(): place for place, view in enumerate(views)}


def test_all_views_are_equally_likely_and_neighbours_independent():
    image, count = random_images(1, height=6, width=6), 16200
    places = views_of(image[0])
    assert len(places) == 162
    drawn = CropTable(image, 4, True, CPU).draw(torch.zeros(count, dtype=torch.int64), seeded())
    found = torch.tensor([places[view.contiguous().numpy().tobytes()] for view in drawn])

    def chi_square(outcomes, kinds):
        expected = len(outcomes) / kinds
        return float(((torch.bincount(outcomes, minlength=kinds) - expected) ** 2 / expected).sum())

    # 99.9 % quantiles of chi-square with 161, 80 and 1 degrees of freedom
    assert chi_square(found, 162) < 222.1
    assert chi_square(found % 81, 81) < 124.9
    assert chi_square(found // 81, 2) < 10.9
    # What two neighbours draw: their rows of crops, their columns, their flips.
    for of in (found % 81 // 9, found % 9):
        assert chi_square(of[:-1:2] * 9 + of[1::2], 81) < 124.9
    flips = found // 81
    assert chi_square(flips[:-1:2] * 2 + flips[1::2], 4) < 16.3  # 3 degrees of freedom
    assert chi_square(found % 9 * 2 + flips, 18) < 40.8  # crops know nothing of flips: 17 degrees of freedom


def test_torchvision_makes_the_same_views_of_single_images():
    image = random_images(1, height=6, width=6)[0]
    places = views_of(image)
    torch.manual_seed(0)
    transform = v2.Compose([v2.RandomCrop(6, padding=4), v2.RandomHorizontalFlip()])
    assert {places[transform(image).numpy().tobytes()] for _ in range(1500)} <= set(places.values())
    drawn = CropTable(image[None], 4, True, CPU).draw(torch.zeros(1500, dtype=torch.int64), seeded())
    assert len({places[view.contiguous().numpy().tobytes()] for view in drawn}) > 155


def test_borders_are_black_before_normalisation():
    white = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    drawn = CropTable(white, 2, True, CPU).draw(torch.zeros(200, dtype=torch.int64), seeded())
    assert sorted(drawn.unique().tolist()) == [0, 255]
    mean, std = (0.5, 0.25, 0.1), (0.2, 0.3, 0.4)
    values = normalize(drawn, mean, std)
    black = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)])
    torch.testing.assert_close(values.amin((0, 2, 3)), black)


def test_its_size_is_known_before_it_is_made():
    images = random_images(7, 3, 4, 5)
    assert CropTable.nbytes(images, 2, True) == 2 * 7 * 3 * 8 * 9
    assert CropTable.nbytes(images, 0, False) == images.nbytes
    assert CropTable(images, 2, True, CPU)._windows.untyped_storage().nbytes() == 2 * 7 * 3 * 8 * 9


def test_a_device_spares_so_much_for_it(monkeypatch):
    images = random_images(7, 3, 4, 5)
    size = CropTable.nbytes(images, 2, True)
    monkeypatch.setattr(crop_table, "CPU_TABLE_BYTES", size)
    assert CropTable.fits(images, 2, True, CPU)
    assert not CropTable.fits(images, 2, True, torch.device("mps"))  # neither CPU nor CUDA
    monkeypatch.setattr(crop_table, "CPU_TABLE_BYTES", size - 1)
    assert not CropTable.fits(images, 2, True, CPU)


def test_positions_are_those_of_the_batches(digits):
    images = digits().split("train")

    def batches():
        sampler = InstanceSampler(images.targets, seed=3)
        sampler.set_epoch(2)
        return ShardedBatchSampler(sampler, 64, rank=1, world_size=2, skip_batches=1)

    loader = RowLoader(images, batches(), CPU)
    assert len(loader) == 5
    found = list(loader)
    assert [rows.tolist() for rows, _ in found] == list(batches())
    assert all(torch.equal(targets, images.targets[rows]) for rows, targets in found)


class Batches(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.append(batch)


def shown(run, data, module, **options):
    batches = Batches()
    run(max_epochs=2, callbacks=[batches], **options).fit(module, datamodule=data)
    return batches.seen


def test_a_run_shows_what_loading_images_would(monkeypatch, trainer, digits, stage1_module):
    fast = shown(trainer, data := digits(), stage1_module(data))
    assert isinstance(digits_loader(trainer, data, stage1_module(data)), RowLoader)
    assert data._table is None  # given back after the run
    monkeypatch.setattr(crop_table, "CPU_TABLE_BYTES", 0)
    slow = shown(trainer, data := digits(), stage1_module(data))
    assert not isinstance(digits_loader(trainer, data, stage1_module(data)), RowLoader)
    assert len(fast) == len(slow) == 10
    for (images, targets), (expected, classes) in zip(fast, slow, strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(targets, classes)


def digits_loader(trainer, data, module):
    run = trainer()
    run.fit(module, datamodule=data)
    return run.train_dataloader


def test_whoever_makes_other_input_gets_images(trainer, digits, stage1_module):
    kind = type(digits())

    class Inverted(kind):
        def to_input(self, images, training, generator):
            assert images.dtype == torch.uint8
            return super().to_input(255 - images, training, generator)

    data = Inverted(batch_size=64)
    assert not isinstance(digits_loader(trainer, data, stage1_module(data)), RowLoader)
    data = digits(crop_padding=0, flip=False)
    plain = shown(trainer, data, stage1_module(data))
    data = Inverted(batch_size=64, crop_padding=0, flip=False)
    inverted = shown(trainer, data, stage1_module(data))
    torch.testing.assert_close(inverted[0][0].amax(), plain[0][0].amax())
    assert not torch.equal(inverted[0][0], plain[0][0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_keeps_the_set_and_copies_no_images(trainer, digits, stage1_module):
    data = digits()
    batches = shown(trainer, data, stage1_module(data), accelerator="gpu", devices=1)
    assert all(images.is_cuda and targets.is_cuda for images, targets in batches)
    table = CropTable(data.split("train").images, 2, True, torch.device("cuda"))
    rows = torch.arange(32, device="cuda")
    expected = CropTable(data.split("train").images, 2, True, CPU).draw(rows.cpu(), seeded())
    assert torch.equal(table.draw(rows, seeded()).cpu(), expected)
