"""One place says the version."""

import re
from pathlib import Path

import pytest

import lt_lightning
from lt_lightning import version


def test_the_package_has_it():
    assert lt_lightning.__version__ == version.__version__


def test_the_wheel_takes_it_from_here():
    root = Path(__file__).resolve().parents[1]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("the source tree is not here")
    (path,) = re.findall(r'\[tool\.hatch\.version\]\npath = "(.+)"', (root / "pyproject.toml").read_text())
    assert (root / path).read_text() == Path(version.__file__).read_text()
