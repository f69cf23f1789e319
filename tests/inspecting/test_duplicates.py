"""Images that are there twice are found, whatever files they lie in."""

import shutil

from PIL import Image

from lt_lightning.data import DigitsLT, ImageFolderLT
from lt_lightning.inspecting import Duplicates, find_duplicates


def look(root):
    return find_duplicates(ImageFolderLT(root=str(root), image_size=16, num_workers=0), progress=False)


def test_images_that_are_there_once_are_no_duplicates(folder_root):
    assert look(folder_root) == []


def test_a_training_image_among_the_test_images_is_found_in_another_format_and_class(folder_root):
    original = folder_root / "train/bee/3.png"
    Image.open(original).convert("RGB").save(folder_root / "test/bee/copy.bmp")
    shutil.copy(original, folder_root / "test/ant/copy.png")
    found, among_themselves = look(folder_root)
    assert (found.split, found.other, found.contradicting) == ("test", "train", 1)
    assert sorted(found.names) == [("test/ant/copy.png", "train/bee/3.png"), ("test/bee/copy.bmp", "train/bee/3.png")]
    assert found.pairs[0][1] == found.pairs[1][1] == 12  # nine ants stand before the bees
    assert (among_themselves.split, among_themselves.other) == ("test", "test")


def test_copies_within_a_split_count_without_their_original(folder_root):
    for name in ("x", "y"):
        shutil.copy(folder_root / "train/cat/0.png", folder_root / f"train/cat/{name}.png")
    (found,) = look(folder_root)
    assert (found.split, found.other, len(found.pairs), found.contradicting) == ("train", "train", 2, 0)
    assert {other for _, other in found.names} == {"train/cat/0.png"}


def test_images_without_files_are_named_by_their_positions():
    data = DigitsLT()
    train, test = data.split("train"), data.split("test")
    test.images[3] = train.images[7]
    assert Duplicates("test", "train", [(3, 7)], [], int(train.targets[7] != test.targets[3])) in find_duplicates(
        data, progress=False
    )


def test_cifar100_has_some(shared):
    """Known since Barz and Denzler, "Do We Train on Test Data?", 2020; by pixels, and of a long-tailed part."""
    from lt_lightning.data import CIFAR100LT

    found = {(one.split, one.other): one for one in find_duplicates(CIFAR100LT(root=str(shared / "data")), False)}
    assert len(found["test", "train"].pairs) == 5
    assert found["test", "train"].contradicting == 1
