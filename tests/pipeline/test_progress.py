"""What is noted of a pipeline, and who may go on with it."""

import errno
import os

import pytest
import tiny_pipeline
from filelock import FileLock
from full_disk import files_of_at_most

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


def test_only_a_folder_without_anything_trained_is_removed(tmp_path):
    new, trained = tmp_path / "new", tmp_path / "trained"
    (trained / "stage1").mkdir(parents=True)
    new.mkdir()
    for folder in (new, trained):
        (folder / "config.yaml").touch()
        progress.remove_unbegun(folder)
    assert not new.exists()
    assert (trained / "stage1").is_dir()


def test_notes_that_cannot_be_read_are_named(stopped):
    (stopped / "unfinished.json").write_text("{")
    with pytest.raises(UsageError, match=r"`resume`: .*unfinished\.json' cannot be read \(JSONDecodeError.*new run"):
        pipeline.main(["pipeline", "--resume", str(stopped)])


def test_without_room_for_what_is_noted_nothing_is_left(here):
    sentence = r"^File too large: '.*version_0/config\.yaml'; allow .*\. Nothing has been trained yet\.$"
    words = tiny_pipeline.write(here, tau_norm=tiny_pipeline.retrain(head="TauNormHead"))
    with files_of_at_most(500), pytest.raises(UsageError, match=sentence):
        pipeline.main(words)
    assert list((here / "runs/tiny").iterdir()) == []


def test_ctrl_c_before_anything_is_noted_leaves_nothing(here, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "write_json", stopped)
    with pytest.raises(UsageError, match=r"^Interrupted: nothing has been trained yet\.$"):
        pipeline.main(tiny_pipeline.write(here, tau_norm=tiny_pipeline.retrain(head="TauNormHead")))
    assert list((here / "runs/tiny").iterdir()) == []
