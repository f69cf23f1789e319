"""Checkpoints of a run."""

import errno

import pytest
import torch
from full_disk import files_of_at_most

from lt_lightning.errors import UsageError
from lt_lightning.main import main
from lt_lightning.whole_checkpoints import WholeCheckpoints


def test_an_interrupted_checkpoint_leaves_the_earlier_one(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)

    def killed(contents, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_has_the_rights_and_bytes_of_any_file(tmp_path):
    (tmp_path / "other").touch()
    for name in ("a.ckpt", "b.ckpt"):
        WholeCheckpoints().save_checkpoint({"epoch": 1}, tmp_path / "new" / name)
        assert (tmp_path / "new" / name).stat().st_mode == (tmp_path / "other").stat().st_mode
    assert (tmp_path / "new" / "a.ckpt").read_bytes() == (tmp_path / "new" / "b.ckpt").read_bytes()


def test_addresses_are_lightnings(tmp_path):
    WholeCheckpoints().save_checkpoint({"epoch": 1}, f"file://{tmp_path}/a.ckpt")
    assert torch.load(tmp_path / "a.ckpt") == {"epoch": 1}


@pytest.mark.parametrize("numbers", [500, 100_000])  # refused as the file is closed, and by torch
def test_without_room_the_earlier_one_is_whole_and_the_error_the_systems(tmp_path, numbers):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    with files_of_at_most(2000), pytest.raises(OSError, match="File too large") as refused:
        WholeCheckpoints().save_checkpoint({"weights": torch.zeros(numbers)}, path)
    assert (refused.value.errno, refused.value.filename) == (errno.EFBIG, str(path))
    assert torch.load(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_other_complaints_of_torch_stay_what_they_are(tmp_path, monkeypatch):
    def fails(contents, file):
        raise RuntimeError("no such type")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RuntimeError, match="no such type"):
        WholeCheckpoints().save_checkpoint({}, tmp_path / "last.ckpt")


def test_training_without_room_ends_in_a_sentence(here, tiny):
    sentence = r"^File too large: '.*last\.ckpt'; allow .*`ulimit -f`\. No epoch has been saved; run the same"
    with files_of_at_most(12_000), pytest.raises(UsageError, match=sentence):
        main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))
    assert not list(here.rglob("*.ckpt*"))
