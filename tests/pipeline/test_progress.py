"""What is noted of a pipeline, and who may go on with it."""

import errno
import os

import pytest
from filelock import FileLock

from lt_lightning import pipeline
from lt_lightning.errors import UsageError
from lt_lightning.pipeline import progress


def test_nobody_else_runs_it_meanwhile(stopped):
    with FileLock(stopped / ".pipeline.lock"), pytest.raises(UsageError, match="is being run by another process; wait"):
        pipeline.main(["pipeline", "--resume", str(stopped)])


def test_a_lock_is_asked_for_where_there_are_locks(tmp_path, monkeypatch):
    def refuse(number):
        def acquire(*_, **__):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(FileLock, "acquire", acquire)

    refuse(errno.ENOLCK)
    assert progress.lock(tmp_path) is None
    refuse(errno.EROFS)
    with pytest.raises(UsageError, match=r"cannot be written to \(.*Read-only file system\); a pipeline needs to\.$"):
        progress.lock(tmp_path)


def test_notes_that_cannot_be_read_are_named(stopped):
    (stopped / "unfinished.json").write_text("{")
    with pytest.raises(UsageError, match=r"`resume`: .*unfinished\.json' cannot be read \(JSONDecodeError.*new run"):
        pipeline.main(["pipeline", "--resume", str(stopped)])
