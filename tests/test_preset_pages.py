"""What first lines of presets and their page say of them."""

import re
from pathlib import Path

import pytest
import yaml
from preset_names import FREE, PIPELINES, SINGLE, STAGE1

from lt_lightning import presets

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", presets.names())
def test_first_lines_say_what_it_is_and_how_to_run_it(name):
    lines = Path(presets.resolve(name)).read_text().splitlines()
    command = "pipeline" if name in PIPELINES else "test" if name in FREE else "fit"
    assert re.match(r"# \S.*", lines[0])
    assert lines[1].startswith(f"#   lt-lightning {command} -c {name}")
    assert ("--model.checkpoint STAGE1" in lines[1]) == (name in SINGLE and name not in STAGE1)
    assert name in PIPELINES or len(lines) <= 15


SETS = ("cifar10_lt", "cifar10_step", "cifar100_lt", "cifar100_step")
"""What ``<set>`` stands for."""


def rows() -> list[tuple[str, str]]:
    """Name and last column of every row."""
    found = re.findall(r"^\| `([^`]+)` \|.*\| (.*) \|$", (ROOT / "docs/presets.md").read_text(), flags=re.MULTILINE)
    of_sets = {(name.replace("<set>", one), ours) for name, ours in found if "<set>" in name for one in SETS}
    return [row for row in found if "<set>" not in row[0]] + sorted(of_sets)


def test_docs_list_every_preset_once():
    assert sorted(name for name, _ in rows()) == presets.names()


@pytest.mark.parametrize("name", SINGLE)
def test_docs_and_preset_agree_on_what_is_ours(name):
    (row,) = (ours for listed, ours in rows() if listed == name)
    text = Path(presets.resolve(name)).read_text()
    assert (f"# Ours, printed by no paper: {row}.\n" in text) if row != "–" else "# Ours" not in text


def test_every_fragment_is_used():
    folder = presets.folder()
    used = set(re.findall(r"shared/[\w/]+", "".join(path.read_text() for path in folder.rglob("*.yaml"))))
    assert {path.relative_to(folder).with_suffix("").as_posix() for path in (folder / "shared").rglob("*.yaml")} == used


def test_fragments_that_are_not_whole_say_what_is_missing_and_nobody_forgets_it():
    folder = presets.folder()
    said = r"# Not whole: set `data\.init_args\.sampler` \(in a pipeline `sampler`\) to (\w+) as well\n"
    texts = {path.relative_to(folder).with_suffix("").as_posix(): path.read_text() for path in folder.rglob("*.yaml")}
    wanted = {name: found[1] for name, text in texts.items() if (found := re.search(said, text))}
    assert {f"shared/methods/{name}" for name in ("crt", "lws", "mislas", "re_sampling")} < set(wanted)
    for name in presets.names():
        content = yaml.safe_load(texts[name])
        for part in (content, *content.get("stage2", {}).values()):
            stack = [part["stack"]] if isinstance(part.get("stack"), str) else part.get("stack", [])
            for sampler in {wanted[below] for below in stack if below in wanted}:
                given = part.get("sampler") or part.get("data", {}).get("init_args", {}).get("sampler")
                assert given == sampler, name
