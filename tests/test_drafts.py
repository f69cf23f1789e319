"""Files are whole or not there."""

import errno
import os
from pathlib import Path

import pytest
from full_disk import files_of_at_most

from lt_lightning.drafts import check_new_file, draft_of, put_in_place, remove_abandoned_drafts, write_text
from lt_lightning.errors import UsageError


def interrupted_within(path):
    with draft_of(path) as draft:
        draft.write_text("half")
        assert draft.parent == path.parent
        assert draft != path
        raise KeyboardInterrupt


def test_a_draft_lies_beside_its_file_and_goes_with_what_failed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted_within(tmp_path / "new" / "file.csv")
    assert list((tmp_path / "new").iterdir()) == []


def test_processes_of_one_number_on_two_machines_do_not_share_a_draft(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "file"
    with draft_of(path) as mine, draft_of(path) as theirs:
        mine.write_text("mine")
        theirs.write_text("theirs")
        assert mine.read_text() == "mine"


def test_what_a_killed_process_has_left_is_removed_and_no_more(tmp_path):
    for name in (".a.ckpt.01ab.part", ".b.ckpt.01ab.part", ".a.csv.01ab.part", "a.ckpt", "a.ckpt.01ab.part"):
        (tmp_path / name).touch()
    remove_abandoned_drafts(tmp_path / "*.ckpt")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.csv.01ab.part", "a.ckpt", "a.ckpt.01ab.part"]
    remove_abandoned_drafts(tmp_path / "new" / "a.csv")
    remove_abandoned_drafts(tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "a.ckpt.01ab.part"]


@pytest.mark.parametrize("name", [f"{'a' * 250}.ckpt", f"{'ä' * 120}.ckpt", f"{'a' * 96}.ckpt", f"{'a' * 95}.ckpt"])
def test_a_draft_is_not_too_long_where_its_file_is_not(tmp_path, name):
    path = tmp_path / name
    for pattern in (path, tmp_path / "*.ckpt"):
        with draft_of(path) as draft:
            draft.touch()
            assert len(os.fsencode(draft.name)) <= max(len(os.fsencode(name)), 123)
            remove_abandoned_drafts(pattern)
            assert not draft.exists()


def folder_removed_within(path):
    with draft_of(path):
        path.parent.rmdir()
        raise ZeroDivisionError


def test_an_error_of_the_block_is_not_hidden_by_a_folder_that_has_gone(tmp_path):
    with pytest.raises(ZeroDivisionError):
        folder_removed_within(tmp_path / "new" / "file")


def test_text_replaces_a_file_whole(tmp_path):
    path = tmp_path / "names.txt"
    write_text(path, "one")
    write_text(path, "σ")
    assert path.read_bytes() == "σ".encode()
    assert [entry.name for entry in tmp_path.iterdir()] == ["names.txt"]


def test_text_that_cannot_be_written_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "names.txt"
    write_text(path, "one")
    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OSError, match="read-only"):
        write_text(path, "two")
    assert path.read_text() == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["names.txt"]


def refused(*_):
    raise OSError("read-only file system")


@pytest.mark.parametrize("links", [True, False])
def test_a_finished_file_goes_over_another_on_request_alone(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    draft, path = tmp_path / "draft", tmp_path / "file"
    for text, overwrite, taken in (("one", False, True), ("two", False, False), ("three", True, True)):
        draft.write_text(text)
        assert put_in_place(draft, path, overwrite) == taken
        assert draft.exists() != taken
    assert path.read_text() == "three"


def no_links(*_):
    raise OSError("operation not supported")


@pytest.mark.parametrize(
    ("name", "endings", "sentence"),
    [
        ("tail.csv", [".json"], r"^`output` '.*tail\.csv' must end in \.json\.$"),
        ("tail.txt", [".csv", ".md", ".json"], r"^`output` '.*tail\.txt' must end in \.csv, \.md or \.json\.$"),
        ("results.json", [".json"], r"^`output` results\.json would be taken for a run's own file"),
        ("there.json", [".json"], r"^`output` '.*there\.json' exists; give another name, or `--overwrite true`\.$"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(name, endings, sentence, tmp_path):
    (tmp_path / "there.json").touch()
    with pytest.raises(UsageError, match=sentence):
        check_new_file(tmp_path / name, "output", endings, overwrite=False)


def test_a_free_name_and_one_to_be_replaced_are_taken(tmp_path):
    (tmp_path / "there.json").touch()
    check_new_file(tmp_path / "free.json", "output", [".json"], overwrite=False)
    check_new_file(tmp_path / "there.json", "output", [".json"], overwrite=True)


def test_a_text_without_room_names_its_file_and_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "results.json"
    write_text(path, "old")
    with files_of_at_most(3), pytest.raises(OSError, match="File too large") as refused:
        write_text(path, "longer")
    assert (refused.value.errno, refused.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
