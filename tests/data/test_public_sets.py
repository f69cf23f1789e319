import shutil
import threading
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser
from made_data import write_mnist

from lt_lightning import data as public
from lt_lightning.data import CIFAR10LT, CIFAR100LT, MNISTLT, LTDataModule
from lt_lightning.data.public_sets import check_class_names
from lt_lightning.errors import UsageError


def small(root, **choices):
    return CIFAR10LT(root=str(root), max_count=12, **{"imbalance_ratio": 4, "val_per_class": 3, **choices})


@pytest.mark.parametrize("below", [".", "cifar10", "data"])
def test_parquet_files_are_found(parquet_root, tmp_path, below, make_pixels):
    shutil.copytree(parquet_root, tmp_path / below, dirs_exist_ok=True)
    data = small(tmp_path)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert torch.bincount(data.split("train").targets).tolist() == data.class_counts
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [sum(data.class_counts), 30, 40]
    # The first training image of class 9 is row 9, its first unused one the row after the three that train.
    train, val = data.split("train"), data.split("val")
    assert torch.equal(train.images[train.targets == 9][0].permute(1, 2, 0), torch.from_numpy(make_pixels(9)))
    assert torch.equal(val.images[val.targets == 9][0].permute(1, 2, 0), torch.from_numpy(make_pixels(39)))


def test_nothing_is_looked_at_before_prepare_data(tmp_path):
    data = CIFAR10LT(root=str(tmp_path / "nowhere"))
    assert sum(data.class_counts) == 12406
    assert len(data.class_names) == 10


@pytest.mark.parametrize("step", ["prepare_data", "setup"])
def test_a_missing_folder_is_one_sentence(tmp_path, step):
    data = CIFAR10LT(root=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"nowhere does not hold cifar10 \(that folder does not exist\); give the"):
        data.prepare_data() if step == "prepare_data" else data.setup("fit")


def test_another_layout_is_one_sentence_with_what_was_found(tmp_path, parquet_root):
    with pytest.raises(UsageError, match=r"does not hold cifar100 \(found an empty folder\)"):
        CIFAR100LT(root=str(tmp_path)).prepare_data()
    shutil.copy(next(parquet_root.glob("test-*")), tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        UsageError,
        match=r"\(found notes\.txt, test-00000-of-00001\.parquet\); give the folder of its train-\*\.parquet and "
        r"test-\*\.parquet files .* torchvision's cifar-10-batches-py, or let `--data.download true` fetch it",
    ):
        CIFAR10LT(root=str(tmp_path)).prepare_data()


def test_files_of_another_set_are_refused(parquet_root):
    with pytest.raises(UsageError, match=r"holds files of 10 classes, but 100 are expected"):
        CIFAR100LT(root=str(parquet_root)).prepare_data()


def test_a_download_happens_only_if_allowed(tmp_path, monkeypatch):
    calls = []

    class Downloads:
        def __init__(self, root, train, download):
            calls.append((train, download))
            if download:
                (tmp_path / "cifar-10-batches-py").mkdir(exist_ok=True)

    monkeypatch.setattr("lt_lightning.data.cifar.datasets.CIFAR10", Downloads)
    with pytest.raises(UsageError, match="does not hold cifar10"):
        CIFAR10LT(root=str(tmp_path)).prepare_data()
    assert calls == []
    CIFAR10LT(root=str(tmp_path), download=True).prepare_data()
    assert calls == [(True, True), (False, True)]


def test_parquet_files_are_not_downloaded_once_more(parquet_root, monkeypatch):
    asked = []
    monkeypatch.setattr("lt_lightning.data.cifar.datasets.CIFAR10", lambda *given, **__: asked.append(given))
    small(parquet_root, download=True).prepare_data()
    assert asked == []


@pytest.fixture
def mirror(monkeypatch):
    """Has MNIST's files fetched from a folder that may be reached or not, and counts what is fetched."""
    reached, fetched = [False], []

    def fetch(url, download_root, filename, **_):
        if not reached[0]:
            raise RuntimeError("no network")
        fetched.append(filename)
        write_mnist(Path(download_root).parents[1])

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fetch)
    return reached, fetched


def test_a_download_that_failed_is_tried_again(tmp_path, mirror):
    reached, fetched = mirror
    data = MNISTLT(root=str(tmp_path), download=True)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"`download=True` could not fetch the files .*no network"):
            data.prepare_data()
        assert (tmp_path / "MNIST").is_dir()
    reached[0] = True
    data.prepare_data()
    assert len(fetched) == 4
    assert len(data.open_source().labels("train")) == 30


@pytest.mark.parametrize("takes_a_lock", [True, False])
def test_a_set_that_is_there_needs_no_network(tmp_path, mirror, monkeypatch, takes_a_lock):
    write_mnist(tmp_path)
    if not takes_a_lock:
        monkeypatch.setattr("lt_lightning.locking.FileLock.acquire", refused)
    MNISTLT(root=str(tmp_path), download=True).prepare_data()
    assert mirror[1] == []


def test_a_job_waits_for_another_that_downloads_into_the_same_folder(tmp_path, monkeypatch):
    whole = tmp_path / "cifar-10-batches-py" / "whole"
    begun, waited = threading.Event(), threading.Event()
    fetched = []

    class Downloads:
        def __init__(self, root, train, download):
            if whole.exists():
                return
            fetched.append(train)
            whole.parent.mkdir(exist_ok=True)
            begun.set()
            waited.wait(60)
            whole.touch()

    monkeypatch.setattr("lt_lightning.data.cifar.datasets.CIFAR10", Downloads)
    other = threading.Thread(target=CIFAR10LT(root=str(tmp_path), download=True).prepare_data)
    other.start()
    assert begun.wait(60)
    threading.Timer(0.2, waited.set).start()
    CIFAR10LT(root=str(tmp_path), download=True).prepare_data()
    assert whole.exists()
    other.join()
    assert fetched == [True]


def test_a_folder_that_takes_no_lock_is_downloaded_into_all_the_same(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("lt_lightning.locking.FileLock.acquire", refused)
    monkeypatch.setattr(
        "lt_lightning.data.cifar.datasets.CIFAR10",
        lambda root, train, download: calls.append(train) or (tmp_path / "cifar-10-batches-py").mkdir(exist_ok=True),
    )
    CIFAR10LT(root=str(tmp_path), download=True).prepare_data()
    assert calls == [True, False]


def refused(*_, **__):
    raise OSError("no locks available")


def test_names_tell_other_sets_and_other_orders():
    expected = ["T-shirt/top", "Trouser", "Bag"]
    check_class_names(expected, expected, "x")
    check_class_names(expected, ["T - shirt / top", "Trouser", "Bag"], "x")
    check_class_names(expected, [], "x")
    with pytest.raises(UsageError, match=r"whose classes are Trouser, T-shirt/top, Bag, …, but T-shirt/top, Trouser"):
        check_class_names(expected, ["Trouser", "T-shirt/top", "Bag"], "x")
    with pytest.raises(UsageError, match=r"whose classes are 0, 1, 2, …"):
        check_class_names(expected, ["0", "1", "2"], "x")


@pytest.fixture
def parser():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LTDataModule, "data")
    return parser


@pytest.mark.parametrize("name", ["CIFAR10LT", "CIFAR100LT", "MNISTLT", "DigitsLT"])
def test_choices_can_be_made_on_the_command_line(parser, name):
    arguments = ["--data", name, "--data.imbalance_ratio", "20", "--data.subset", "3", "--data.profile", "step"]
    config = parser.parse_args([*arguments, "--data.sampler", "ClassBalancedSampler"])
    made = parser.instantiate(config).data
    assert isinstance(made, getattr(public, name))
    assert (made.imbalance_ratio, made.subset, made.profile) == (20.0, 3, "step")
    assert made.rebalances


@pytest.mark.parametrize("name", ["CIFAR10LT", "MNISTLT", "DigitsLT", "ImageFolderLT", "ImageListLT"])
def test_unknown_keys_fail_when_parsed(parser, name):
    with pytest.raises(Exception, match="imbalance_ration"):
        parser.parse_args(["--data", name, "--data.imbalance_ration", "20"])


def test_a_tilde_is_the_home_folder(parquet_root, monkeypatch):
    monkeypatch.setenv("HOME", str(parquet_root.parent))
    data = small(f"~/{parquet_root.name}")
    data.prepare_data()
    assert data.describe_split() == small(str(parquet_root)).describe_split()
