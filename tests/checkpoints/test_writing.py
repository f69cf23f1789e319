"""Files that are written whole or not at all."""

import shutil

import pytest

from lt_lightning.checkpoints.writing import write_new
from lt_lightning.errors import UsageError


def test_a_file_gets_its_name_when_it_is_whole(tmp_path):
    def write(draft):
        assert draft.parent == tmp_path / "new"
        assert not (tmp_path / "new/x.pth").exists()
        draft.write_bytes(b"whole")

    write_new(tmp_path / "new/x.pth", 5, write)
    assert (tmp_path / "new/x.pth").read_bytes() == b"whole"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.pth"]


def test_a_file_that_appears_meanwhile_stays(tmp_path):
    def write(draft):
        draft.write_bytes(b"ours")
        (tmp_path / "x.pth").write_bytes(b"theirs")

    with pytest.raises(
        UsageError, match=r"`output` '.*x.pth' already exists and will not be overwritten; give another name"
    ):
        write_new(tmp_path / "x.pth", 5, write)
    assert (tmp_path / "x.pth").read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_a_full_disk_is_found_before_and_during(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)

    def fail(draft):
        draft.write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos\nmore")

    with pytest.raises(UsageError, match=r"cannot be written \(\[enforce fail.* unexpected pos\); make room or choose"):
        write_new(tmp_path / "x.pth", 5, fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_500_000))
    with pytest.raises(UsageError, match=r"`output` '.*x.pth' needs 20 MB, but 1\.5 MB are free; make room or choose"):
        write_new(tmp_path / "x.pth", 20_000_000, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"`output` '.*file/x.pth' cannot be written \(.*\); make room or choose"):
        write_new(tmp_path / "file/x.pth", 5, lambda draft: None)
