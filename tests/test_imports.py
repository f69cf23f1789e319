"""The house's rule of who may import whom; a new arrow upwards, or a circle within a part, fails here."""

import ast
import json
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lt_lightning

PACKAGE = Path(lt_lightning.__file__).parent
ANYONE = {
    "errors",
    "drafts",
    "home",
    "locking",
    "long_lists",
    "packages",
    "processes",
    "progress",
    "same_run",
    "wording",
}
MAY_IMPORT = {
    "errors": set(),
    "drafts": set(),
    "whole_checkpoints": set(),
    "metrics_file": set(),
    "devices": set(),
    "home": set(),
    "locking": set(),
    "long_lists": set(),
    "packages": set(),
    "processes": set(),
    "progress": set(),
    "same_run": set(),
    "wording": set(),
    "config_files": {"presets"},
    "nulls": {"modules", "records"},
    "cli": {"quiet", "version"},
    "presets": set(),
    "__main__": {"cli"},
    "functional": set(),
    "augmentations": {"functional"},
    "samplers": {"functional"},
    "schedules": set(),
    "checkpoints": {"heads"},
    "records": {"checkpoints"},
    "quiet": set(),
    "tables": set(),
    "results": {"version"},
    "version": set(),
    "seeds": set(),
    "losses": {"functional"},
    "heads": {"functional"},
    "backbones": {"functional"},
    "metrics": {"functional"},
    "mixing": {"losses", "seeds"},
    "data": {"augmentations", "functional", "records", "samplers", "seeds"},
    "features": {"backbones", "data", "devices", "functional", "seeds"},
    "retraining": {"devices", "functional", "heads", "losses", "samplers"},
    "modules": {
        "backbones",
        "checkpoints",
        "devices",
        "functional",
        "heads",
        "losses",
        "metrics",
        "mixing",
        "records",
        "results",
        "schedules",
        "seeds",
    },
    "callbacks": {"checkpoints", "data", "devices", "functional", "losses", "metrics", "modules", "results", "tables"},
    "interruption": set(),
    "signals": {"interruption", "modules", "slurm"},
    "slurm": {"checkpoints", "records"},
    "trainer_errors": set(),
    "trainer_options": {"metrics_file"},
    "parser_errors": {
        "augmentations",
        "backbones",
        "callbacks",
        "data",
        "heads",
        "losses",
        "mixing",
        "modules",
        "samplers",
    },
    "resuming": {"backbones", "checkpoints", "records", "slurm"},
    "predict": {"callbacks", "interruption", "main", "records", "resuming", "signals", "trainer_errors"},
    "export": {
        "backbones",
        "config_files",
        "interruption",
        "losses",
        "modules",
        "parser_errors",
        "quiet",
        "records",
        "results",
        "version",
    },
    "main": {
        "callbacks",
        "config_files",
        "data",
        "devices",
        "interruption",
        "modules",
        "nulls",
        "parser_errors",
        "presets",
        "quiet",
        "results",
        "resuming",
        "signals",
        "slurm",
        "trainer_errors",
        "trainer_options",
        "whole_checkpoints",
    },
    "comparing": {
        "backbones",
        "checkpoints",
        "config_files",
        "data",
        "devices",
        "features",
        "functional",
        "heads",
        "interruption",
        "losses",
        "main",
        "modules",
        "nulls",
        "parser_errors",
        "presets",
        "quiet",
        "results",
        "resuming",
        "retraining",
        "samplers",
        "schedules",
        "signals",
        "tables",
    },
    "pipeline": {
        "augmentations",
        "callbacks",
        "checkpoints",
        "config_files",
        "data",
        "devices",
        "interruption",
        "main",
        "modules",
        "nulls",
        "parser_errors",
        "presets",
        "results",
        "resuming",
        "retraining",
        "samplers",
        "signals",
        "slurm",
        "tables",
        "trainer_errors",
        "trainer_options",
    },
    "inspecting": {
        "config_files",
        "data",
        "features",
        "functional",
        "interruption",
        "nulls",
        "parser_errors",
        "presets",
        "quiet",
        "results",
        "tables",
    },
    "probing": {
        "backbones",
        "checkpoints",
        "comparing",
        "config_files",
        "data",
        "devices",
        "features",
        "functional",
        "heads",
        "interruption",
        "losses",
        "main",
        "modules",
        "nulls",
        "parser_errors",
        "quiet",
        "results",
        "tables",
    },
    "report": {"interruption", "tables"},
    "plots": {"interruption", "report"},
    "foreign": {"devices", "features"},
    "api": {"checkpoints", "comparing", "devices", "features", "functional", "foreign", "heads", "losses"},
    "__init__": {"api", "errors", "version", *lt_lightning._PARTS},  # all but the last for type checkers alone
}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "configs" not in path.parts)
MODULES = {module_of(path): path for path in FILES}


def imported_modules(path: Path) -> set[str]:
    """The modules of ours that a file imports; ``lt_lightning`` is the package's face."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "lt_lightning"}


def imported_parts(path: Path) -> set[str]:
    """The parts that a file imports; the face, which none may, is ``__init__``."""
    return {name.split(".")[1] if "." in name else "__init__" for name in imported_modules(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    part = part_of(path)
    assert part in MAY_IMPORT, f"{part} is new: say in MAY_IMPORT what it may import"
    assert imported_parts(path) - {part} <= MAY_IMPORT[part] | ANYONE


def test_modules_do_not_import_each_other_in_circles():
    order = TopologicalSorter({name: imported_modules(path) - {name} for name, path in MODULES.items()}).static_order()
    assert set(order) >= set(MODULES)  # a circle raises CycleError


def test_rules_name_only_what_exists():
    assert set(MAY_IMPORT) == {part_of(path) for path in FILES}


def test_public_names_arrive_when_used():
    for name in lt_lightning.__all__:
        assert getattr(lt_lightning, name) is not None
        assert name in dir(lt_lightning)
    assert [name for name in dir(lt_lightning) if getattr(lt_lightning, name, None) is None] == []
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        lt_lightning.Nothing  # noqa: B018


def test_parts_that_the_docs_name_arrive_too():
    pages = [PACKAGE.parent / "README.md", *(PACKAGE.parent / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"\blt_lightning\.([a-z_]+)", page.read_text())}
    assert {"functional", "mixing", "schedules"} <= named
    assert named - {"main"} <= {*lt_lightning.__all__, *lt_lightning._PARTS}  # the command's own entry


def test_type_checkers_know_every_name_and_no_other(tmp_path):
    names = sorted([*lt_lightning.__all__, *lt_lightning._PARTS])
    script = tmp_path / "script.py"
    script.write_text(f"from lt_lightning import {', '.join(names)}\nfrom lt_lightning import retrian\n")
    options = ["--strict", "--follow-imports=skip", f"--cache-dir={tmp_path}", str(PACKAGE / "__init__.py")]
    found = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(script)], cwd=PACKAGE.parent, capture_output=True, text=True
    )
    errors = [line for line in found.stdout.splitlines() if "script.py" in line and ": error:" in line]
    assert len(errors) == 1, found.stdout
    assert ':2: error: Module "lt_lightning" has no attribute "retrian"' in errors[0]


def test_parts_arrive_when_used_and_bring_no_heavy_package_that_lightning_does_not():
    heavy = ("joblib", "onnx", "onnxruntime", "pyarrow", "safetensors", "sklearn", "timm", "torchvision.transforms.v2")
    program = (
        "import json, sys, lt_lightning\n"
        "assert 'torch' not in sys.modules\n"
        "import lightning.pytorch.cli\n"
        "known = set(sys.modules)\n"
        "print(lt_lightning.losses.LDAMLoss([5, 3]), 'metrics' in dir(lt_lightning))\n"
        "assert lt_lightning.export.write\n"
        "import lt_lightning.comparing.command, lt_lightning.pipeline, lt_lightning.predict\n"
        "import lt_lightning.probing.command\n"
        "print(json.dumps(sorted(set(sys.modules) - known)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    arrived, ours = done.stdout.splitlines()
    assert re.fullmatch(r"LDAMLoss\(num_classes=2, .*\) True", arrived)
    ours = json.loads(ours)
    assert "lt_lightning.main" in ours
    assert [name for name in ours if name in heavy] == []


def test_the_page_for_contributors_names_every_part():
    page = (PACKAGE.parent / "docs" / "contributing.md").read_text()
    rows = re.findall(r"^\| ([`\w, ]+) \|", page, flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(set(MAY_IMPORT) - {"__init__", "__main__"})
