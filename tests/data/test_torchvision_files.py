import pickle

import numpy as np
import pytest
import torch
from made_data import write_mnist
from torchvision import datasets

from lt_lightning.data.torchvision_files import TorchvisionFiles
from lt_lightning.errors import UsageError


def test_mnist_files_give_grey_images(tmp_path):
    raw = write_mnist(tmp_path)
    source = TorchvisionFiles(datasets.MNIST, tmp_path)
    assert source.labels("train").tolist() == [i % 10 for i in range(30)]
    assert source.labels("test").dtype == torch.int64
    images = source.images("test", torch.tensor([7, 2]))
    assert images.shape == (2, 1, 28, 28)
    assert torch.equal(images[:, 0], torch.from_numpy(raw["t10k"][[7, 2]]))


def test_cifar_files_give_colour_images(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rows = np.random.default_rng(0).integers(0, 256, (12, 3072), dtype=np.uint8)
    for name in ("train", "test"):
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [i % 10 for i in range(12)]}))
    (folder / "meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [("train", None)])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [("test", None)])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": "meta", "key": "label_names", "md5": None})
    source = TorchvisionFiles(datasets.CIFAR10, tmp_path)
    images = source.images("train", torch.tensor([3, 11]))
    assert images.is_contiguous()
    assert torch.equal(images, torch.from_numpy(rows[[3, 11]]).view(2, 3, 32, 32))


def test_files_that_torchvision_refuses_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"torchvision cannot read its files in `root` .*; delete them and use"):
        TorchvisionFiles(datasets.MNIST, tmp_path).labels("train")


@pytest.mark.parametrize(
    ("left", "cause"),
    [(bytes, "AssertionError"), (lambda size: b"", "invalid literal .*"), (None, "shape .* is invalid .*")],
)
def test_files_that_a_power_cut_has_damaged_are_named(tmp_path, left, cause):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(left(path.stat().st_size) if left else path.read_bytes()[:-5])
    source = TorchvisionFiles(datasets.MNIST, tmp_path)
    for work in (lambda: source.labels("train"), source.download):
        with pytest.raises(UsageError, match=rf"cannot read its files in `root` .*: {cause}; delete them and use"):
            work()


def test_both_splits_are_downloaded(tmp_path):
    calls = []
    TorchvisionFiles(lambda root, **kwargs: calls.append((root, kwargs)), tmp_path).download()
    assert calls == [
        (str(tmp_path), {"train": True, "download": True}),
        (str(tmp_path), {"train": False, "download": True}),
    ]


def test_a_download_that_fails_is_a_sentence(tmp_path):
    def offline(root, **kwargs):
        raise OSError("no network")

    with pytest.raises(UsageError, match=r"`download=True` could not fetch the files into `root` .*: no network\."):
        TorchvisionFiles(offline, tmp_path).download()
