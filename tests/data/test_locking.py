import pytest
from filelock import FileLock, Timeout

from lt_lightning.data.locking import locked_if_possible


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
