import errno
import os

import pytest
from filelock import FileLock, Timeout

from lt_lightning import locking
from lt_lightning.locking import NoLocksError, file_lock, locked_if_possible, try_to_hold, wait_to_hold


def knows_no_locks(monkeypatch, number):
    fcntl = pytest.importorskip("fcntl", reason="Windows has other locks")

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_nobody_else_holds_the_lock_meanwhile(tmp_path):
    path = tmp_path / "folder" / "one.lock"
    with locked_if_possible(path), pytest.raises(Timeout):
        FileLock(path).acquire(timeout=0)
    with FileLock(path).acquire(timeout=0):
        assert path.exists()


def test_where_there_can_be_no_lock_nobody_waits(tmp_path):
    (tmp_path / "file").touch()
    with locked_if_possible(tmp_path / "file" / "one.lock"):
        assert not (tmp_path / "file").is_dir()


def test_the_lock_is_given_back_after_an_error(tmp_path):
    path = tmp_path / "one.lock"
    with pytest.raises(ValueError, match="within"), locked_if_possible(path):
        raise ValueError("within")
    FileLock(path).acquire(timeout=0).lock.release()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_known_by_what_it_says(tmp_path, monkeypatch, number):
    """Nor does a file stand for a lock there: that of a machine that has died would keep all others waiting."""
    path = tmp_path / "one.lock"
    path.write_text("20188\nnode07\n0123abcd")
    knows_no_locks(monkeypatch, number)
    with pytest.raises(NoLocksError, match=os.strerror(number)):
        try_to_hold(file_lock(path))
    with locked_if_possible(path):
        assert path.exists()


def test_whoever_waits_says_for_what_and_what_to_do(tmp_path, capsys, monkeypatch):
    path = tmp_path / "one.lock"
    other = FileLock(path)
    other.acquire()

    def released() -> bool:
        other.release()
        return True

    monkeypatch.setattr(locking, "is_first", released)  # asked once it has to wait
    with locked_if_possible(path):
        waited = capsys.readouterr().out
    assert waited == (
        f"waiting for another process that works on the same files; if none runs any more, remove {path}\n"
    )


def test_a_lock_that_is_free_is_held_without_a_word(tmp_path, capsys):
    lock = file_lock(tmp_path / "one.lock")
    wait_to_hold(lock, "does the same")
    with pytest.raises(Timeout):
        FileLock(tmp_path / "one.lock").acquire(timeout=0)
    lock.release()
    assert capsys.readouterr().out == ""
