"""Whose code it was that failed."""

import pytest

from lt_lightning.errors import UsageError
from lt_lightning.retraining.naming import naming


@pytest.mark.parametrize(("error", "named"), [(ValueError("mine"), True), (UsageError("a sentence"), False)])
def test_an_error_stays_what_it_is_and_says_its_method(error, named, capsys):
    with pytest.raises(type(error)) as found, naming("lort"):
        raise error
    assert found.value is error
    said = "".join(getattr(error, "__notes__", [])) + capsys.readouterr().err  # Python 3.10 has no notes
    assert ("in method 'lort'" in said) == named


def test_nothing_is_added_without_a_name(capsys):
    with pytest.raises(ValueError, match="mine") as found, naming(""):
        raise ValueError("mine")
    assert not getattr(found.value, "__notes__", [])
    assert capsys.readouterr().err == ""
