"""What messages and pages tell a user to install can be installed."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = [*(ROOT / "lt_lightning").rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").glob("*.md")]


def test_extras_that_are_named_exist():
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    known = set(re.findall(r"^(\w+) = \[", extras.partition("\n\n")[0], flags=re.MULTILINE))
    text = "".join(path.read_text(encoding="utf-8") for path in PLACES)
    named = re.findall(r"pip install (?:-e )?\"(?:lt_lightning|\.)\[([\w,]+)\]", text)
    assert len(named) >= 6
    assert {"dev", "timm"} <= known
    assert {extra for each in named for extra in each.split(",")} <= known
