"""What the package imports, and what messages and pages tell a user to install, is installed by its name."""

import ast
import re
import sys
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


DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn"}
"""Names to install, of modules that are called otherwise."""


def imported_at_once():
    """What modules of the package import as they are imported themselves, which no extra may bring alone."""
    for path in (ROOT / "lt_lightning").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module


def test_what_is_imported_at_once_is_a_dependency():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = text.partition("\ndependencies = [")[2].partition("\n]")[0]
    declared = set(re.findall(r'^    "([\w-]+)', listed, flags=re.MULTILINE))
    modules = {name.partition(".")[0] for name in imported_at_once()} - sys.stdlib_module_names - {"lt_lightning"}
    assert {"torch", "numpy", "PIL"} <= modules
    assert {DISTRIBUTIONS.get(name, name) for name in modules} <= declared
