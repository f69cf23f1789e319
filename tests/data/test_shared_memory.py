"""Batches that shared memory has no room for are refused, or fewer of them are read ahead."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from lt_lightning.backbones import SmallCNN
from lt_lightning.data import DigitsLT, ImageFolderLT, shared_memory
from lt_lightning.data.shared_memory import batches_ahead, free_room
from lt_lightning.errors import UsageError


@dataclass
class Images:
    image_bytes: int | None = 1000

    def __len__(self):
        return 1000


@pytest.fixture
def room(monkeypatch):
    """Says how many bytes are free."""
    return lambda free: monkeypatch.setattr(shared_memory, "free_room", lambda place: free)


def test_as_many_are_read_ahead_as_there_is_room_for(room):
    for free, ahead in ((None, None), (9 * 10_000, 2), (9 * 10_000 - 1, 1), (5 * 10_000, 1)):
        room(free)
        assert batches_ahead(Images(), 10, 100, 4, None) == ahead
    room(39_000)
    with pytest.raises(UsageError, match=r"^`data\.num_workers` 4 need at least 40\.0 kB of /dev/shm, .*39\.0 kB are"):
        batches_ahead(Images(), 10, 100, 4, None)


def test_where_it_may_be_enough_that_is_said(room):
    room(4 * 10_000)
    with pytest.warns(UserWarning, match=r"^`data\.num_workers` 4 may need 50\.0 kB of /dev/shm, of which 40\.0 kB"):
        assert batches_ahead(Images(), 10, 100, 4, None) == 1


def test_what_is_not_known_is_not_refused(room):
    room(1)
    assert batches_ahead(Images(None), 10, 100, 4, None) is None
    assert batches_ahead(range(1000), 10, 100, 4, None) is None
    assert batches_ahead(Images(), 10, 100, 0, None) is None
    assert batches_ahead(Images(), 10, 0, 4, None) is None


def test_there_are_no_more_batches_than_images_need(room):
    room(1_000_000)
    assert batches_ahead(Images(), 5000, 1, 4, None) == 2


def test_processes_of_a_machine_share_it(room, monkeypatch):
    room(2 * 9 * 10_000 - 1)
    assert batches_ahead(Images(), 10, 100, 4, None) == 2
    assert batches_ahead(Images(), 10, 100, 4, SimpleNamespace(num_devices=2, state=SimpleNamespace(fn="test"))) == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert batches_ahead(Images(), 10, 100, 4, None) == 1
    room(9 * 1_000_000)  # all images are 1 MB, of which each process reads a part
    assert batches_ahead(Images(), 800, 100, 4, None) == 2


def test_a_system_says_how_much_is_free_where_there_is_something(tmp_path):
    assert free_room(tmp_path) > 0
    assert free_room(tmp_path / "nothing") is None


def test_every_loader_asks(room, folder_root):
    """Of images of 16 × 16 pixels and three colours, which are 768 bytes."""
    data = ImageFolderLT(str(folder_root), image_size=16, num_workers=1, batch_size=3, eval_batch_size=3)
    data.setup("fit")
    data.setup("test")
    room(3 * 768 - 1)
    loaders = [data.train_dataloader, data.val_dataloader, data.test_dataloader, data.predict_dataloader]
    for make in loaders:
        with pytest.raises(UsageError, match=r"^`data\.num_workers` 1 need at least "):
            make()
    room(3 * 768 * 2)
    assert [make().prefetch_factor for make in loaders] == [1, 2, 2, 2]  # those of evaluation have two batches in all


def test_training_and_validation_share_it(room):
    fitting = SimpleNamespace(num_devices=1, state=SimpleNamespace(fn="fit"))
    for free, ahead in ((2 * 9 * 10_000, 2), (2 * 9 * 10_000 - 1, 1), (2 * 5 * 10_000, 1)):
        room(free)
        assert batches_ahead(Images(), 10, 100, 4, fitting) == ahead
    room(2 * 5 * 10_000 - 1)
    with pytest.warns(UserWarning, match=r"may need 100\.0 kB of /dev/shm, of which 100\.0 kB are free"):
        assert batches_ahead(Images(), 10, 100, 4, fitting) == 1


def test_a_fit_asks_before_anything_is_read(room, folder_root, trainer, stage1_module):
    """Of images of 768 bytes, of which three train at a time."""
    data = ImageFolderLT(str(folder_root), image_size=16, num_workers=1, batch_size=3)
    module = stage1_module(data, backbone=SmallCNN(8, in_channels=3))
    room(3 * 768 - 1)
    with pytest.raises(UsageError, match=r"^`data\.num_workers` 1 need at least 2\.3 kB"):
        trainer().fit(module, datamodule=data)
    room(12 * 768)
    trainer().fit(module, datamodule=data)
    assert data.train_dataloader().prefetch_factor == 1


def test_sets_in_memory_are_small_and_asked_too(room):
    data = DigitsLT(num_workers=1, batch_size=10)
    data.setup("fit")
    room(10 * 64 - 1)
    with pytest.raises(UsageError, match=r"^`data\.num_workers` 1 need at least 640 bytes"):
        data.train_dataloader()
