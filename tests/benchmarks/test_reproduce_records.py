"""Files of records."""

from reproducing.page import render
from reproducing.records import append, read


def test_records_are_appended(tmp_path, made):
    append(tmp_path, "lgl3", [made("CNN2C, LGL", "mnist", 99.0)])
    append(tmp_path, "lgl3", [])
    append(tmp_path, "lgl3", [made("CNN2C, SML", "mnist", 99.1)])
    assert [record["key"]["row"] for record in read(tmp_path, "lgl3")] == ["CNN2C, LGL", "CNN2C, SML"]
    text, _ = render(tmp_path)
    assert "| CNN2C, SML | 99.09 | 99.10 |" in text
