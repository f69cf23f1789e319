"""Checkpoints of a run."""

import pytest
import torch

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
