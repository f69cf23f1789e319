"""What docs/own_loop.md says beside its first example, which tests/test_readme.py runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lt_lightning.functional import class_balanced_weights
from lt_lightning.heads import LinearHead
from lt_lightning.losses import EqualizationLossV2, LDAMLoss, LogisticLoss

PAGE = (Path(__file__).parents[1] / "docs/own_loop.md").read_text()
COUNTS = [20, 6, 2]


def test_the_step_with_crops_and_mixtures_trains() -> None:
    (block,) = (one for one in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S) if "my_step.py" in one)
    scope: dict[str, object] = {}
    exec(block, scope)
    images, classes = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8), torch.tensor([0, 1, 2, 0, 1, 0])
    backbone, head = nn.Flatten(), LinearHead(3 * 8 * 8, COUNTS)
    scope["mixing"].check(LogisticLoss(COUNTS))
    for epoch in range(2):
        scope["step"](backbone, head, LogisticLoss(COUNTS), images, classes, epoch, batch=0).backward()
    assert bool(head.weight.grad.isfinite().all())


def test_images_of_the_first_example_are_typed(tmp_path: Path) -> None:
    """Of all that the example imports its data alone are read: torch takes a minute."""
    script = tmp_path / "my_loop.py"
    script.write_text(next(re.finditer(r"^```python\n(.*?)^```$", PAGE, re.M | re.S))[1])
    read = [f"lt_lightning/data/{name}.py" for name in ("__init__", "base", "digits", "in_memory", "in_memory_images")]
    options = ["--strict", "--follow-imports=skip", f"--cache-dir={tmp_path}"]
    words = [sys.executable, "-m", "mypy", *options, *read, str(script)]
    found = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert "6 source files" in found.stdout, found.stdout + found.stderr
    assert [line for line in found.stdout.splitlines() if "my_loop.py" in line] == []


def test_a_run_that_resumes_has_its_class_weights_again() -> None:
    """The page's condition, in the epoch after the one in which weights are set first."""
    (condition,) = re.findall(r"^    if (epoch .*?):  #", PAGE, re.M)
    loss, saved = LDAMLoss(COUNTS), LDAMLoss(COUNTS, weight=[1.0, 2.0, 3.0]).state_dict()
    loss.load_state_dict(saved)
    assert loss.weight is None  # no part of the state
    if eval(condition, {"epoch": 17}):
        loss.set_weight(class_balanced_weights(COUNTS, beta=0.9999))
    assert loss.weight is not None
    assert EqualizationLossV2(COUNTS).state_dict()  # why the page names the loss among what is saved


@pytest.mark.parametrize("epoch", [0, 15])
def test_weights_set_in_late(epoch: int) -> None:
    (condition,) = re.findall(r"^    if (epoch .*?):  #", PAGE, re.M)
    assert not eval(condition, {"epoch": epoch})
