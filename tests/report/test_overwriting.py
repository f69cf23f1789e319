"""``--overwrite`` with and without a value, wherever it stands."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from lt_lightning.report.overwriting import add_overwrite, what_remains, with_values


@pytest.mark.parametrize(
    ("typed", "overwrites"),
    [
        ("runs", "false"),
        ("runs --overwrite", "true"),
        ("--overwrite runs", "true"),
        ("--overwrite true runs", "true"),
        ("--overwrite False runs", "false"),
        ("runs --overwrite=TRUE", "true"),
        ("--overwrite --output runs x", "true"),
    ],
)
def test_the_word_behind_it_is_its_value_only_if_it_is_one(typed, overwrites):
    parser = ArgumentParser()
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--output")
    add_overwrite(parser, "Whether files are replaced.")
    options = parser.parse_args(with_values(typed.split()))
    assert options.overwrite == overwrites
    assert options.folders in (["runs"], ["x"])


def test_another_value_is_refused(capsys):
    parser = ArgumentParser()
    add_overwrite(parser, "Whether files are replaced.")
    with pytest.raises(SystemExit):
        parser.parse_args(with_values(["--overwrite=perhaps"]))
    assert "invalid choice: 'perhaps'" in capsys.readouterr().err


def test_files_that_were_finished_are_to_be_replaced():
    assert what_remains([]) == "nothing has been written; run the same command again."
    assert what_remains([Path("a.svg"), Path("b.svg")]) == (
        "a.svg, b.svg had been written; run the command again with `--overwrite true`."
    )
