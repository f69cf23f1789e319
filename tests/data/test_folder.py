import errno
import os
import shutil
from pathlib import Path

import pytest
import torch

from lt_lightning.data import ImageFolderLT
from lt_lightning.data.folder import passed_over
from lt_lightning.errors import UsageError


@pytest.fixture
def data(folder_root):
    return ImageFolderLT(root=str(folder_root), image_size=16, num_workers=0)


def test_counts_and_names_come_from_the_folders_alone(data, monkeypatch):
    monkeypatch.setattr("PIL.Image.open", lambda *args: pytest.fail("no image may be read"))
    assert data.class_counts == [9, 4, 2]
    assert data.class_names == ["ant", "bee", "cat"]


def test_nothing_is_looked_at_by_the_constructor(tmp_path):
    assert ImageFolderLT(root=str(tmp_path / "nowhere")).root.endswith("nowhere")


def test_each_split_is_its_folder(data):
    data.setup("fit")
    data.setup("test")
    assert {name: data.split(name).targets.tolist() for name in ("train", "val", "test")} == {
        "train": [0] * 9 + [1] * 4 + [2] * 2,
        "val": [0, 0, 1],
        "test": [0, 0, 1, 1, 2, 2],
    }
    assert list(data.split("val").paths) == ["val/ant/0.png", "val/ant/1.png", "val/bee/0.png"]


def test_the_record_names_files(data, folder_root):
    data.setup("fit")
    record = data.describe_split()
    assert record["dataset"] == "folder"
    assert record["sizes"] == {"train": 15, "val": 3}
    assert record["real_imbalance_ratio"] == 4.5
    assert record["hash_of"] == "paths and sizes of files"
    assert record["classes_without_validation"] == [2]
    assert set(record["hashes"]) == {"train", "val"}
    moved = folder_root.with_name("elsewhere")
    shutil.copytree(folder_root, moved)
    same = ImageFolderLT(root=str(moved))
    same.setup("fit")
    assert same.describe_split()["hashes"] == record["hashes"]
    assert same.describe_split()["content"] == record["content"]
    assert set(record["content"]) == {"train", "val"}
    image = moved / "train" / "ant" / "0.png"
    image.write_bytes(image.read_bytes()[::-1])
    noisy = ImageFolderLT(root=str(moved))
    noisy.setup("fit")
    assert noisy.describe_split()["hashes"] == record["hashes"]
    assert [noisy.describe_split()["content"][name] == record["content"][name] for name in ("train", "val")] == [0, 1]
    (moved / "train" / "cat" / "0.png").unlink()
    other = ImageFolderLT(root=str(moved))
    other.setup("fit")
    assert other.describe_split()["hashes"]["train"] != record["hashes"]["train"]
    with (moved / "val" / "ant" / "0.png").open("ab") as file:
        file.write(b"more")
    longer = ImageFolderLT(root=str(moved))
    longer.setup("fit")
    assert longer.describe_split()["hashes"]["val"] != record["hashes"]["val"]


def test_validation_may_come_from_the_training_images(folder_root):
    data = ImageFolderLT(root=str(folder_root), val_from="train", val_fraction=0.25)
    assert data.class_counts == [7, 3, 1]
    data.setup("fit")
    assert torch.bincount(data.split("val").targets).tolist() == [2, 1, 1]
    assert not set(data.split("val").paths) & set(data.split("train").paths)
    # Drawn: the last ones of a folder are often of one scene.
    assert {"train/ant/7.png", "train/ant/8.png"} - set(data.split("val").paths)
    assert data.describe_split()["val_fraction"] == 0.25


@pytest.mark.parametrize("val_from", ["none", "source"])
def test_there_may_be_no_validation_images(folder_root, val_from):
    if val_from == "source":
        shutil.rmtree(folder_root / "val")
    data = ImageFolderLT(root=str(folder_root), val_from=val_from)
    data.setup("fit")
    assert data.split("val") is None
    assert data.describe_split()["classes_without_validation"] == []


@pytest.mark.parametrize("number", [1, 3])
def test_images_beside_the_class_folders_are_warned_of(folder_root, number):
    for place in range(number):
        shutil.copy(folder_root / "train/ant/0.png", folder_root / f"train/{place}.PNG")
    (folder_root / "train/notes.txt").touch()
    data = ImageFolderLT(root=str(folder_root))
    with pytest.warns(
        UserWarning, match=f"^{number} images? lies? in .*train itself, such as '0.PNG', and are left out"
    ):
        assert data.class_counts == [9, 4, 2]


def test_a_class_on_a_disk_that_is_not_there_is_named(folder_root, tmp_path):
    """Passed over, it would leave its number to the class behind it."""
    disk = shutil.move(folder_root / "train" / "bee", tmp_path / "disk")
    (folder_root / "train" / "bee").symlink_to(disk)
    for name in (".notes", "notes.txt"):
        (folder_root / "train" / name).symlink_to("gone")
    data = ImageFolderLT(root=str(folder_root))
    assert data.class_counts == [9, 4, 2]
    shutil.move(disk, tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"train.bee is a link to '.*disk', which leads nowhere; restore .* remove it"):
        ImageFolderLT(root=str(folder_root)).class_names  # noqa: B018


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_link_to_itself_beside_the_class_folders_is_named(folder_root, split):
    (folder_root / split / "again").symlink_to("again")
    with pytest.raises(UsageError, match=rf"{split}.again is a link to 'again', which leads nowhere"):
        ImageFolderLT(root=str(folder_root)).list_files(split)


def test_one_class_is_none(folder_root):
    for name in ("bee", "cat"):
        shutil.rmtree(folder_root / "train" / name)
    with pytest.raises(UsageError, match=r"train has one class folder alone, ant, .* not a level below"):
        ImageFolderLT(root=str(folder_root)).class_counts  # noqa: B018


def test_without_a_test_folder_there_is_no_test(folder_root):
    shutil.rmtree(folder_root / "test")
    sentence = r"`ImageFolderLT` has no test images; `test` needs some: put the images into .*/test/<class>/\."
    with pytest.raises(UsageError, match=sentence):
        ImageFolderLT(root=str(folder_root)).setup("test")


def test_images_may_lie_deeper_and_other_files_are_passed_over(folder_root):
    deep = folder_root / "train" / "cat" / "more" / "still"
    deep.mkdir(parents=True)
    shutil.copy(folder_root / "train" / "cat" / "0.png", deep / "B.PNG")
    (folder_root / "train" / "cat" / "notes.txt").touch()
    (folder_root / "train" / "cat" / ".hidden.png").touch()
    (folder_root / "train" / ".cache").mkdir()
    data = ImageFolderLT(root=str(folder_root))
    assert data.class_counts == [9, 4, 3]
    assert data.list_files("train").paths[-1] == "train/cat/more/still/B.PNG"


def test_files_that_are_passed_over_are_counted_by_their_endings(folder_root):
    train = folder_root / "train"
    assert passed_over(train, folder_root / "nowhere") == ""
    for name in ("a.heic", "b.HEIC", "c.gif", "read me", "d.txt", ".DS_Store"):
        (train / "cat" / name).touch()
    assert passed_over(train, folder_root / "val") == (
        "5 files are passed over, not being named as images are: .heic (2), .gif (1), .txt (1) and 1 more; "
        "convert what is an image."
    )


@pytest.mark.parametrize("place", ["train", "train/cat", "train/cat/deep"])
def test_a_folder_that_cannot_be_read_is_no_empty_one(folder_root, data, place, monkeypatch):
    closed, scandir = folder_root / place, os.scandir
    closed.mkdir(exist_ok=True)

    def scan(path):
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", scan)
    with pytest.raises(PermissionError, match=rf"Permission denied: '.*{place}'"):
        _ = data.class_counts


def test_folders_whose_names_start_with_a_dot_are_passed_over_too(folder_root, data):
    shutil.copytree(folder_root / "train" / "ant", folder_root / "train" / "ant" / ".thumbnails" / "small")
    assert data.class_counts == [9, 4, 2]


def test_links_are_followed_but_not_in_circles(folder_root, data):
    train = folder_root / "train"
    elsewhere = folder_root / "elsewhere"
    shutil.copytree(train / "cat", elsewhere / "deep")
    (train / "cat" / "more").symlink_to(elsewhere)
    (train / "cat" / "again").symlink_to(elsewhere)  # twice, but in no circle
    assert data.class_counts == [9, 4, 6]
    (train / "ant" / "itself").symlink_to(".")
    (train / "bee" / "up").symlink_to(train / "cat")
    (elsewhere / "deep" / "back").symlink_to(train / "bee")
    found = ImageFolderLT(root=str(folder_root))
    assert found.class_counts == [9, 4 + 6, 6 + 2 * 4]


@pytest.mark.parametrize("place", ["train/cat/caf\udce9.png", "train/caf\udce9/0.png"])
def test_a_name_that_is_not_utf_8_is_refused(folder_root, data, place):
    try:
        (folder_root / place).parent.mkdir(exist_ok=True)
        shutil.copy(folder_root / "train" / "cat" / "0.png", folder_root / place)
    except OSError:
        pytest.skip("this system has no such names")
    with pytest.raises(UsageError, match=r"holds a name that is not UTF-8, b'caf\\xe9.*; rename it\."):
        _ = data.class_counts


def test_a_split_is_not_the_root(folder_root):
    with pytest.raises(UsageError, match=r"train has no folder train; give the folder above it, .*folder, if that has"):
        _ = ImageFolderLT(root=str(folder_root / "train")).class_counts


def test_a_missing_train_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"`root` .* has no folder train; put the images into .*train/<class>/"):
        _ = ImageFolderLT(root=str(tmp_path)).class_counts


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_folder_without_classes_is_named(folder_root, split):
    shutil.rmtree(folder_root / split)
    (folder_root / split).mkdir()
    with pytest.raises(UsageError, match=rf"{split} has no class folders; put the images into"):
        ImageFolderLT(root=str(folder_root)).setup("fit")


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class_folder_is_named(folder_root, split):
    shutil.rmtree(folder_root / split / "bee")
    (folder_root / split / "bee").mkdir()
    with pytest.raises(UsageError, match=rf"The class folder .*{split}.bee holds no image \(\.jpg, .*\); remove it"):
        ImageFolderLT(root=str(folder_root)).setup("fit" if split == "train" else "test")


def test_a_class_that_never_trains_is_named(folder_root):
    (folder_root / "test" / "dog").mkdir()
    with pytest.raises(UsageError, match=r"test has the class folder dog, which .*train has not; use the same names"):
        ImageFolderLT(root=str(folder_root)).setup("test")


def test_a_name_in_another_unicode_form_is_told_from_its_like(folder_root):
    """As of a folder that was copied from macOS."""
    (folder_root / "train" / "bee").rename(folder_root / "train" / "b\xe4r")
    (folder_root / "test" / "bee").rename(folder_root / "test" / "ba\u0308r")
    forms = r"has in another Unicode form of the same letters \('ba\\u0308r' and 'b\\xe4r'\), .*; rename it to the very"
    with pytest.raises(UsageError, match=forms):
        ImageFolderLT(root=str(folder_root)).setup("test")


def test_held_out_training_images_are_put_back(folder_root):
    data = ImageFolderLT(root=str(folder_root), val_from="train", num_workers=0)
    assert sum(data.class_counts) < 15
    data.setup("fit")
    record = data.describe_split()
    whole = data.with_held_out()
    assert whole.class_counts == [9, 4, 2]
    assert len(whole.split("train")) == 15
    assert whole.split("val") is None
    assert data.describe_split() == record
    assert data.balanced_pool() is None
    plain = ImageFolderLT(root=str(folder_root))
    assert plain.with_held_out() is plain


def test_the_shorter_side_is_what_stage_1_was_tested_with(folder_root):
    usual, other = (
        ImageFolderLT(root=str(folder_root), image_size=16, resize=side, num_workers=0) for side in (None, 16)
    )
    assert (usual.describe_transform(False)["resize"], other.describe_transform(False)["resize"]) == (18, 16)
    shown = [data.undistorted("test").__getitems__([0])[0] for data in (usual, other)]
    assert shown[0].shape == shown[1].shape == (1, 3, 16, 16)
    assert not torch.equal(*shown)
    with pytest.raises(UsageError, match=r"`data\.resize` must be at least `data\.image_size`, 16, .* but got 15\."):
        ImageFolderLT(root=str(folder_root), image_size=16, resize=15)


def test_there_are_no_more_workers_than_cores(folder_root):
    assert 1 <= ImageFolderLT(root=str(folder_root), num_workers=10_000).num_workers < 10_000
    assert ImageFolderLT(root=str(folder_root), num_workers=0).num_workers == 0
