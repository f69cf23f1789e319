"""Two processes give what one gives."""

import subprocess
import sys

import pytest
import torch

from lt_lightning.backbones import SmallCNN
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, extract
from lt_lightning.features.processes import merge_, on_first, rank_and_world_size, wait_for_all

SCRIPT = """
import sys
from pathlib import Path
import torch, torch.distributed as dist
from lt_lightning.backbones import SmallCNN
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, extract
from lt_lightning.features.processes import merge_, on_first

torch.set_num_threads(1)
rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
backbone, data = SmallCNN(8), DigitsLT()
backbone.load_state_dict(torch.load(folder / "weights.pt"))
found = {}
for cache in ("", str(folder / "cache")):
    options = ExtractionOptions(cache=cache, dtype="bfloat16", device="cpu", progress=False)
    for split, views in (("train", 1), ("train", 3), ("train", "all"), ("test", 1)):
        found[cache != "", split, views] = extract(backbone, data, split, views, options=options).values.clone()
torch.save(found, folder / f"found-{rank}.pt")

odd = torch.tensor([[-0.0, float("nan"), 1.5]]) if rank else torch.zeros(1, 3)
merge_(odd)
assert odd.signbit()[0, 0] and odd[0, 1].isnan() and odd[0, 2] == 1.5
assert on_first(lambda: rank + 5) == 5
for kind in (UsageError, ValueError):
    def fail():
        raise kind("on purpose")
    try:
        on_first(fail)
    except (UsageError, ValueError) as error:
        assert type(error) is (UsageError if rank else kind) and str(error) == "on purpose"
    else:
        raise AssertionError
dist.barrier()
"""


def start(rank, folder):
    command = [sys.executable, "-c", SCRIPT, str(rank), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def one_thread():
    """As many as each of two processes has: to the bit the same sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_two_processes_give_the_features_of_one(tmp_path, one_thread):
    backbone, data = SmallCNN(8), DigitsLT()
    torch.save(backbone.state_dict(), tmp_path / "weights.pt")
    running = [start(rank, tmp_path) for rank in range(2)]
    options = ExtractionOptions(dtype="bfloat16", device="cpu", progress=False)
    alone = {
        asked: extract(backbone, data, *asked, options=options).values
        for asked in (("train", 1), ("train", 3), ("train", "all"), ("test", 1))
    }
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert outputs[0].count("features of") == 8  # one process speaks
    assert "features of" not in outputs[1]
    for rank in range(2):
        found = torch.load(tmp_path / f"found-{rank}.pt", weights_only=True)
        assert len(found) == 8
        for (_, *asked), values in found.items():
            assert torch.equal(values, alone[tuple(asked)])


def test_a_single_process_needs_no_group():
    assert rank_and_world_size() == (0, 1)
    assert on_first(lambda: 3) == 3
    values = torch.ones(1, 2)
    merge_(values)
    wait_for_all()
    assert values.tolist() == [[1, 1]]

    def fail():
        raise UsageError("on purpose")

    with pytest.raises(UsageError, match="on purpose"):
        on_first(fail)
