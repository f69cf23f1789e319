"""A ``~`` that no shell has expanded makes no folder of that name."""

import pytest

from lt_lightning import cli, home


@pytest.fixture(autouse=True)
def at_home(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    return here / "home"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--output=~/runs", "--output={home}/runs"),
        ("--output=~", "--output={home}"),
        ("~/runs", "{home}/runs"),
        ("~nobody_of_that_name/runs", "~nobody_of_that_name/runs"),
        ("--data.root=~\\photos", "--data.root=~\\photos"),
        ("--data.lists=a~/b", "--data.lists=a~/b"),
        ("runs/a=~/b", "runs/a=~/b"),
        ("--overwrite", "--overwrite"),
    ],
)
def test_words_of_a_command_line(word, expected, at_home):
    assert home.expanded_option(word) == expected.format(home=at_home)


def test_a_command_writes_below_the_home_folder(at_home, here, capsys):
    cli.main(["inspect", "--data=DigitsLT", "--output=~/made/digits.json"])
    assert f"written to {at_home}/made/digits.json" in capsys.readouterr().out
    assert (at_home / "made/digits.json").is_file()
    assert not (here / "~").exists()


def test_a_command_with_a_parser_of_its_own_reads_below_it(at_home, capsys):
    with pytest.raises(SystemExit):
        cli.main(["report", "runs", "--output=~/table.txt"])
    assert f"{at_home}/table.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "inspect --data=ImageFolderLT --data.root=~nobody_of_that_name/photos",
        "inspect --data=ImageListLT --data.root=. --data.train_list=~nobody_of_that_name/list.txt",
        "inspect --data=CIFAR10LT --data.root=~nobody_of_that_name/data",
        "export --checkpoint=~nobody_of_that_name/last.ckpt --output=~nobody_of_that_name/model.pt2",
    ],
)
def test_the_home_folder_of_nobody_is_one_sentence(here, words, capsys):
    with pytest.raises(SystemExit):
        cli.main(words.split())
    error = capsys.readouterr().err
    assert "~nobody_of_that_name" in error
    assert error.count("\n") == 1
