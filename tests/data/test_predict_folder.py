"""A folder without labels, prepared as the checkpoint's test images were."""

import shutil

import pytest
import torch
from torch.utils.data import DataLoader

from lt_lightning.data import ImageFolderLT, PredictFolder
from lt_lightning.data.predict_folder import NO_TARGET, UNREADABLE
from lt_lightning.errors import UsageError
from lt_lightning.modules.base import RECORD


def checkpoint_of(path, **record):
    known = {"class_counts": [9, 4, 2], "class_names": ["ant", "bee", "cat"], "epochs": 1}
    torch.save({RECORD: known | record, "state_dict": {"w": torch.zeros(1)}}, path)
    return str(path)


@pytest.fixture
def data(tmp_path, folder_root):
    """The folder's test images without their labels, for a checkpoint of `ImageFolderLT`."""
    labelled = ImageFolderLT(root=str(folder_root), image_size=16, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    checkpoint = checkpoint_of(
        tmp_path / "last.ckpt", transform=labelled.describe_transform(training=False), input_shape=[3, 16, 16]
    )
    return labelled, lambda **options: PredictFolder(str(folder_root / "test"), checkpoint, num_workers=0, **options)


def test_images_are_those_of_the_labelled_folder(data):
    labelled, make = data
    folder = make()
    assert (folder.class_counts, folder.class_names) == ([9, 4, 2], ["ant", "bee", "cat"])
    ours, theirs = folder.split("test"), labelled.split("test")
    assert [f"test/{path}" for path in ours.paths] == list(theirs.paths)
    pixels, targets = ours.__getitems__(list(range(6)))
    expected, _ = theirs.__getitems__(list(range(6)))
    assert torch.equal(pixels, expected)
    assert targets.tolist() == [NO_TARGET] * 6
    made = [each.to_input(pixels, training=False, generator=None) for each in (folder, labelled)]
    assert torch.equal(*made)
    ways = [each.describe_transform(training=False) for each in (folder, labelled)]
    assert [way.pop("class").rpartition(".")[2] for way in ways] == ["PredictFolder", "ImageFolderLT"]
    assert ways[0] == ways[1]
    assert ways[0]["mean"] == (0.4, 0.5, 0.6)


def test_images_kept_in_memory_are_not_cropped(tmp_path, folder_root):
    checkpoint = checkpoint_of(
        tmp_path / "grey.ckpt", transform={"mean": (0.5,), "std": (0.5,)}, input_shape=[1, 12, 12]
    )
    folder = PredictFolder(str(folder_root), checkpoint)
    assert (folder.image.image_size, folder.image.resize) == (12, 12)
    assert folder.split("test").__getitems__([0])[0].shape == (1, 1, 12, 12)


def test_options_go_before_the_checkpoint(data):
    _, make = data
    folder = make(image_size=8, mean=[0.0] * 3, std=[1.0] * 3)
    pixels, _ = folder.split("test").__getitems__([0])
    assert pixels.shape == (1, 3, 8, 8)
    assert torch.equal(folder.to_input(pixels, False, None), pixels.float() * (1 / 255))


def test_an_unreadable_image_is_named_or_marked(data, folder_root):
    _, make = data
    damaged = folder_root / "test" / "bee" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    with pytest.raises(
        UsageError, match=r"The image .*bee/0.png cannot be read \(.*\); .*`--data.skip_unreadable true`"
    ):
        make().split("test").__getitems__([1, 2])
    images, targets = make(skip_unreadable=True).split("test").__getitems__([1, 2])
    assert targets.tolist() == [NO_TARGET, UNREADABLE]
    assert images[0].any()
    assert not images[1].any()


def test_an_image_too_large_for_the_memory_is_named_or_marked(data):
    _, make = data
    for skip in (False, True):
        images = make(skip_unreadable=skip).split("test")
        images._transform = lambda image: bytearray(2**62)
        if skip:
            assert images.__getitems__([1])[1].tolist() == [UNREADABLE]
        else:
            with pytest.raises(UsageError, match=r"The image .* cannot be read \(it takes more memory than there is\)"):
                images.__getitems__([1])


def test_images_are_found_at_any_depth_and_sorted(data, folder_root):
    _, make = data
    shutil.copy(folder_root / "test" / "ant" / "0.png", folder_root / "test" / "above.PNG")
    (folder_root / "test" / "notes.txt").touch()
    (folder_root / "test" / ".hidden.png").touch()
    assert make().split("test").paths[0] == "above.PNG"
    assert len(make().split("test")) == 7


def test_files_that_get_no_prediction_are_counted(data, folder_root, capsys):
    _, make = data
    (folder_root / "test" / "new.HEIC").touch()
    assert len(make().split("test")) == 6
    assert "1 file is passed over, not being named as images are: .heic (1)" in capsys.readouterr().out


def test_it_serves_predict_alone(data):
    _, make = data
    folder = make()
    folder.setup("predict")
    assert isinstance(folder.predict_dataloader(), DataLoader)
    assert folder.split("val") is None
    with pytest.raises(UsageError, match=r"`PredictFolder` knows no classes .* only `predict` can use it, not `test`"):
        folder.setup("test")


def test_a_missing_and_an_empty_folder_are_named(tmp_path, data):
    _, make = data
    checkpoint = make().checkpoint
    with pytest.raises(UsageError, match=r"`data.root` '.*gone' is not a folder"):
        PredictFolder(str(tmp_path / "gone"), checkpoint).setup("predict")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"`data.root` '.*empty' holds no image \(\.jpg"):
        PredictFolder(str(tmp_path / "empty"), checkpoint).setup("predict")
    with pytest.raises(UsageError, match=r"does not record the `mean` of its images; give `data.mean`"):
        _ = PredictFolder("x", checkpoint_of(tmp_path / "old.ckpt", input_shape=[3, 8, 8])).image


def test_a_tilde_is_the_home_folder(data, folder_root, monkeypatch):
    _, make = data
    monkeypatch.setenv("HOME", str(folder_root))
    assert len(PredictFolder("~/test", make().checkpoint, num_workers=0).split("test")) == 6
