import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from lt_lightning.errors import UsageError
from lt_lightning.features.store import DiskStore, MemoryStore
from lt_lightning.features.views import Layout

LAYOUT = Layout(2, 300, 3, torch.bfloat16)
VALUES = torch.randn(2, 300, 3, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)


def fill(store, stop=None):
    for block in store.missing()[:stop]:
        store.put(block, VALUES[block.view, block.start : block.stop])


def finished(folder, name="made", blocks=None):
    with DiskStore(folder / name, LAYOUT, {"key": "abc"}) as store:
        computed = len(store.missing())
        fill(store)
        return computed, store.finish()


@pytest.mark.parametrize(
    "make", [lambda folder: MemoryStore(LAYOUT), lambda folder: DiskStore(folder / "a", LAYOUT, {})]
)
def test_what_is_put_comes_back(make, tmp_path):
    with make(tmp_path / "new" / "cache") as store:
        assert len(store.missing()) == 4
        fill(store)
        assert torch.equal(store.finish(), VALUES)


def test_finished_features_are_mapped(tmp_path):
    assert finished(tmp_path)[0] == 4
    computed, values = finished(tmp_path)
    assert computed == 0
    assert torch.equal(values, VALUES)
    assert json.loads((tmp_path / "made/record.json").read_text())["key"] == "abc"
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["features.bin", "record.json"]


def test_what_is_flushed_to_the_disk_is_open_for_writing(tmp_path, monkeypatch):
    """On Windows it must be, and so it must be for writing nothing to it."""
    monkeypatch.setattr(os, "fsync", lambda number: os.write(number, b""))
    assert finished(tmp_path)[0] == 4


def test_what_is_left_of_an_interrupted_run_is_kept_if_intact(tmp_path):
    with DiskStore(tmp_path / "made", LAYOUT, {}) as store:
        fill(store, 3)
    notes = tmp_path / "made.partial/done-0.txt"
    notes.write_text(notes.read_text()[:-4])  # cut off in the middle of a line
    with (tmp_path / "made.partial/features.bin").open("r+b") as file:
        file.write(b"\0\0")  # a page that never reached the disk
    computed, values = finished(tmp_path)
    assert computed == 3
    assert torch.equal(values, VALUES)


def test_a_run_that_ends_while_it_begins_again_has_lost_nothing(tmp_path, monkeypatch):
    with DiskStore(tmp_path / "made", LAYOUT, {}) as store:
        fill(store, 3)
    unlink = Path.unlink

    def killed(path, *arguments, **options):
        unlink(path, *arguments, **options)
        if path.name == "done-0.txt":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            finished(tmp_path)
    computed, values = finished(tmp_path)
    assert computed == 1
    assert torch.equal(values, VALUES)


@pytest.mark.parametrize("damage", ["truncated", "no record", "cut record", "no features"])
def test_damage_is_found_and_mended(damage, tmp_path, capsys):
    finished(tmp_path)
    data, record = tmp_path / "made/features.bin", tmp_path / "made/record.json"
    if damage == "truncated":
        data.write_bytes(data.read_bytes()[: LAYOUT.nbytes // 2])
    elif damage == "cut record":
        record.write_text(record.read_text()[:-3])
    else:
        (record if damage == "no record" else data).unlink()
    computed, values = finished(tmp_path)
    assert computed == 4
    assert torch.equal(values, VALUES)
    assert "made is damaged and is computed again" in capsys.readouterr().out
    assert finished(tmp_path)[0] == 0


def test_damaged_notes_cost_the_blocks_they_name(tmp_path):
    with DiskStore(tmp_path / "made", LAYOUT, {}) as store:
        fill(store, 3)
    notes = tmp_path / "made.partial/done-0.txt"
    kept = notes.read_text().splitlines(keepends=True)[0]
    notes.write_text(f"{kept}-1 0 256 5 .\n0 0 -5 3 .\n0 1 256 3 .\n{9**30} 0 256 3 .\n\0\n")
    computed, values = finished(tmp_path)
    assert computed == 3
    assert torch.equal(values, VALUES)


def test_features_that_are_there_need_no_right_to_write(tmp_path, monkeypatch):
    """Nor a lock, which a folder that others lend may not give."""
    finished(tmp_path)

    def closed(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", closed)
    computed, values = finished(tmp_path)
    assert computed == 0
    assert torch.equal(values, VALUES)
    with pytest.raises(UsageError, match=r"cannot be used \(Permission denied: .*give a folder that can be written"):
        finished(tmp_path, "other")


def test_a_run_that_ends_while_it_gives_the_name_has_lost_nothing(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, DiskStore(tmp_path / "made", LAYOUT, {}) as store:
        fill(store)
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            store.finish()
    assert finished(tmp_path)[0] == 0
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["features.bin", "record.json"]


def test_a_second_one_waits_for_the_first(tmp_path, capsys):
    counts = []
    with DiskStore(tmp_path / "made", LAYOUT, {}) as store:
        other = threading.Thread(target=lambda: counts.append(finished(tmp_path)[0]))
        other.start()
        while "waiting for another process" not in capsys.readouterr().out:
            time.sleep(0.01)
        fill(store)
        store.finish()
    other.join()
    assert counts == [0]


def test_folders_that_cannot_be_used_are_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"`cache` '.*file' cannot be used \(.*\); give a folder that can be written"):
        DiskStore(tmp_path / "file" / "made", LAYOUT, {}).__enter__()
    with DiskStore(tmp_path / "made", LAYOUT, {}) as store:
        fill(store, 1)

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", full)
            with pytest.raises(UsageError, match=r"is full; make room and start again: .* is kept in made\.partial"):
                fill(store)
    assert finished(tmp_path)[0] == 3


def test_processes_that_do_not_share_the_folder_are_told(tmp_path):
    sentence = "made.partial is not the same for every process; give a `cache` folder that all machines share"
    with DiskStore(tmp_path / "made", LAYOUT, {}) as store:
        fill(store, 3)
        with pytest.raises(UsageError, match=sentence):
            store.finish()
        missing = store.missing()[-1]
        store.partial.rename(tmp_path / "elsewhere")
        with pytest.raises(UsageError, match=sentence):
            store.put(missing, VALUES[missing.view, missing.start : missing.stop])


def test_a_process_that_cannot_see_finished_features_is_told(tmp_path):
    with DiskStore(tmp_path / "made", LAYOUT, {}) as store:
        fill(store)
        store.finish()
        store.folder.rename(tmp_path / "elsewhere")
        with pytest.raises(UsageError, match="made is not the same for every process; give a `cache` folder"):
            store.finish()


def test_a_file_system_without_locks_is_called_that(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows has other locks")
    finished(tmp_path, "before")

    def flock(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert finished(tmp_path, "before")[0] == 0
    with pytest.raises(UsageError, match=r"is on a file system without locks \(.+\), by which .* on another one\.$"):
        finished(tmp_path)
