import json
import os
from pathlib import Path

import pytest
from PIL import Image

from lt_lightning.data import ImageFolderLT, ImageListLT, unreadable
from lt_lightning.data.file_images import read_rgb
from lt_lightning.data.unreadable import find_unreadable
from lt_lightning.errors import UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing known yet, and nothing written to the home of whoever runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(unreadable, "_FOUND", {})
    return tmp_path / "cache" / "lt_lightning" / "unreadable"


@pytest.fixture
def damaged(folder_root):
    """An ant cut off, another empty, a bee that is text, a test cat that is no file."""
    ant = folder_root / "train" / "ant" / "0.png"
    ant.write_bytes(ant.read_bytes()[:-200])
    (folder_root / "train" / "ant" / "5.png").write_bytes(b"")
    (folder_root / "train" / "bee" / "1.png").write_text("<html>not found</html>")
    cat = folder_root / "test" / "cat" / "1.png"
    cat.unlink()
    cat.symlink_to("nowhere")
    return folder_root


def folder(root, **options):
    return ImageFolderLT(root=str(root), image_size=12, num_workers=0, skip_unreadable=True, **options)


@pytest.fixture
def reads(monkeypatch):
    """Paths of the images that have been decoded."""
    seen = []

    def read(path):
        seen.append(path.name)
        return read_rgb(path)

    monkeypatch.setattr("lt_lightning.data.unreadable.read_rgb", read)
    return seen


def test_counts_are_right_before_anything_is_loaded(damaged, capsys):
    data = folder(damaged)
    assert data.class_counts == [7, 3, 2]
    assert capsys.readouterr().out == (
        "3 of 15 train images cannot be read and are left out: train/ant/0.png, train/ant/5.png, train/bee/1.png\n"
    )
    data.setup("fit")
    data.setup("test")
    assert data.class_counts == [7, 3, 2]
    assert (len(data.split("train")), len(data.split("val")), len(data.split("test"))) == (12, 3, 5)
    assert data.split("train").__getitems__(list(range(12)))[0].shape == (12, 3, 12, 12)
    assert capsys.readouterr().out == "1 of 6 test images cannot be read and are left out: test/cat/1.png\n"
    assert data.describe_split()["left_out"] == {
        "train": {"images": 3, "first": ["train/ant/0.png", "train/ant/5.png", "train/bee/1.png"]},
        "test": {"images": 1, "first": ["test/cat/1.png"]},
    }


def test_no_more_than_a_few_are_named(folder_root, capsys):
    for number in range(7):
        (folder_root / "train" / "ant" / f"{number}.png").write_bytes(b"")
    data = folder(folder_root)
    assert data.class_counts == [2, 4, 2]
    assert capsys.readouterr().out.endswith("train/ant/4.png and 2 more\n")
    assert len(data.describe_split()["left_out"]["train"]["first"]) == 5


def test_without_the_option_the_image_is_named_and_the_option_too(damaged):
    data = ImageFolderLT(root=str(damaged), image_size=12, num_workers=0)
    assert data.class_counts == [9, 4, 2]
    data.setup("fit")
    with pytest.raises(UsageError, match=r"ant.0\.png cannot be read .* leave such images out with `data\.skip_unread"):
        data.split("train").__getitems__([0])


def test_validation_images_are_held_out_of_those_that_are_left(damaged):
    data = folder(damaged, val_from="train", val_fraction=0.3)
    data.setup("fit")
    assert len(data.split("train")) + len(data.split("val")) == 12
    assert data.with_held_out().class_counts == [7, 3, 2]


def test_a_class_without_images_left_is_named(folder_root):
    for number in range(2):
        (folder_root / "train" / "cat" / f"{number}.png").write_bytes(b"GIF89a")
    with pytest.raises(UsageError, match=r"None of the 2 training images of class 'cat' can be read, train/cat/0\.png"):
        _ = folder(folder_root).class_counts


def test_a_split_without_images_left_is_named(folder_root):
    for path in (folder_root / "val").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UsageError, match=r"None of the 3 val images can be read, val/ant/0\.png for one"):
        folder(folder_root).setup("fit")


def test_lists_leave_images_out_as_well(list_root, capsys):
    (list_root / "pictures" / "train 1 2.png").write_bytes(b"\x89PNG")
    (list_root / "pictures" / "val 0 0.png").unlink()
    lists = {f"{split}_list": f"{split}.txt" for split in ("train", "val", "test")}
    data = ImageListLT(root=str(list_root), **lists, image_size=12, num_workers=0, skip_unreadable=True)
    assert data.class_counts == [3, 6, 2]
    data.setup("fit")
    assert data.split("val").targets.tolist() == [1, 2]
    assert "1 of 3 val images cannot be read and are left out: pictures/val 0 0.png" in capsys.readouterr().out


def test_an_image_is_decoded_once_in_a_process(damaged, reads):
    folder(damaged).setup("fit")
    assert len(reads) == 15 + 3
    again = folder(damaged, val_from="train")
    assert again.class_counts == [6, 2, 1]
    assert again.with_held_out().class_counts == [7, 3, 2]
    assert len(reads) == 15 + 3


def test_another_process_looks_at_what_could_not_be_read_alone(damaged, reads, monkeypatch):
    assert folder(damaged).class_counts == [7, 3, 2]
    monkeypatch.setattr(unreadable, "_FOUND", {})
    reads.clear()
    assert folder(damaged).class_counts == [7, 3, 2]
    assert sorted(reads) == ["0.png", "1.png", "5.png"]


def test_a_changed_file_is_looked_at_again(damaged, reads, monkeypatch):
    assert folder(damaged).class_counts == [7, 3, 2]
    path = damaged / "train" / "bee" / "1.png"
    Image.new("RGB", (9, 9)).save(path)
    os.utime(path, ns=(1, 1))
    monkeypatch.setattr(unreadable, "_FOUND", {})
    reads.clear()
    assert folder(damaged).class_counts == [7, 4, 2]
    assert len(reads) == 15


def test_what_was_only_out_of_reach_is_back_later(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")

    def out_of_reach(path: Path) -> None:
        raise UsageError(f"{path}: stale file handle")

    assert find_unreadable(tmp_path, ["a.png"], out_of_reach, "") == {"a.png"}
    monkeypatch.setattr(unreadable, "_FOUND", {})
    assert find_unreadable(tmp_path, ["a.png"], read_rgb, "") == frozenset()


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_memory_is_not_believed(damaged, cache, monkeypatch, content):
    assert folder(damaged).class_counts == [7, 3, 2]
    (file,) = cache.glob("*.json")
    assert json.loads(file.read_text()) == ["train/ant/0.png", "train/ant/5.png", "train/bee/1.png"]
    file.write_text(content)
    monkeypatch.setattr(unreadable, "_FOUND", {})
    assert folder(damaged).class_counts == [7, 3, 2]


def test_without_a_place_to_remember_it_works_all_the_same(damaged, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert folder(damaged).class_counts == [7, 3, 2]


def test_a_terminal_gets_a_bar(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(unreadable, "_SHARE", 1)
    names = [f"{number}.png" for number in range(4)]
    for name in names:
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert find_unreadable(tmp_path, names, read_rgb, "decoding them") == frozenset()
    assert "decoding them" in capsys.readouterr().out


def test_an_interruption_ends_it(tmp_path):
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_unreadable(tmp_path, [f"{n}.png" for n in range(1000)], interrupted, "")
