"""Commands and ``retrain`` on a GPU, and what they leave read where there is none.

What can be checked without one stands in ``test_fake_gpu.py``.
"""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lt_lightning
from lt_lightning import cli
from lt_lightning.results import environment

DEVICE, ACCELERATOR = "cuda", "gpu"
METHODS = "linear,crt,ncm,lws,ib,disalign,max_norm"

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning"),  # it has been trained for two epochs
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny):
    """A stage 1 trained there, comparisons on it on either device, and predictions."""
    folder = tmp_path_factory.mktemp("gpu")
    there = (f"--trainer.accelerator={ACCELERATOR}", "--trainer.devices=1")
    options = ("--trainer.max_epochs=2", f"--trainer.default_root_dir={folder / 'stage1'}")
    cli.main(tiny("fit", "RepresentationModule", *options, *there))
    (stage1,) = (folder / "stage1").rglob("last.ckpt")
    for device in (DEVICE, "cpu"):
        features = (f"--features.device={device}", "--features.progress=false")
        words = ("--data=DigitsLT", "--views=2", "--draws=50", f"--methods={METHODS}", "--keep_runs=true")
        cli.main(["compare", f"--checkpoint={stage1}", *words, *features, f"--output={folder / device}"])
    words = ("--data=DigitsLT", "--top_k=10", "--trainer.enable_progress_bar=false")
    better = folder / DEVICE / "version_0/better.ckpt"
    for name, checkpoint in (("stage1", stage1), ("better", better)):
        cli.main(["predict", f"--ckpt_path={checkpoint}", *words, *there, f"--output={folder / name}.csv"])
    cli.main(["export", f"--checkpoint={better}", f"--output={folder / 'better.pt2'}"])
    return folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def probabilities(path):
    """Of the digits' test images, ``(500, 10)``, in the order of the classes."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = torch.zeros(len(rows), 10)
    for image, row in enumerate(rows):
        for place in range(1, 11):
            found[image, int(row[f"index_{place}"])] = float(row[f"probability_{place}"])
    return found


def test_hardware_is_the_devices(folder):
    (trained,) = (folder / "stage1").rglob("results.json")
    here, there = (environment(device)["hardware"] for device in ("cpu", DEVICE))
    assert json.loads(trained.read_text())["environment"]["hardware"] == there
    assert results(folder / DEVICE / "version_0")["environment"]["hardware"] == there
    assert results(folder / "cpu/version_0")["environment"]["hardware"] == here


def test_a_comparison_finds_what_the_processor_finds(folder):
    there, here = (results(folder / device / "version_0")["rows"] for device in (DEVICE, "cpu"))
    assert list(there) == list(here)
    assert set(METHODS.split(",")) <= set(there)
    for name, row in there.items():
        tried, expected = row["validation"], here[name]["validation"]
        assert [one["point"] for one in tried] == [one["point"] for one in expected]
        # Of 200 images; rounding grows over an epoch, and a few lie between two classes.
        assert [one["mean"] for one in tried] == pytest.approx([one["mean"] for one in expected], abs=0.03)
        assert len(row["seeds"]) == 1


def test_a_module_on_it_is_retrained_there():
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(4).repeat_interleave(torch.tensor([60, 30, 8, 4]))
    images = torch.randn(4, 16, generator=generator)[targets] + 0.5 * torch.randn(102, 16, generator=generator)
    batches = DataLoader(TensorDataset(images, targets), batch_size=32)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))
    found = {}
    for device in (DEVICE, "cpu"):
        model = model.to(device)
        options = {"test_loader": batches, "lr": 0.1, "group_thresholds": (8, 40)}
        result = lt_lightning.retrain(model, batches, method="crt", **options)
        assert {value.device.type for value in result.model.parameters()} == {device}
        found[device] = result.model(images.to(device)).detach().cpu()
    torch.testing.assert_close(found[DEVICE], found["cpu"], rtol=1e-3, atol=1e-3)


ALONE = """
import sys
from pathlib import Path
import torch
from lt_lightning import cli
from lt_lightning.data import DigitsLT

assert not torch.cuda.is_available()
folder = Path(sys.argv[1])
(stage1,) = (folder / "stage1").rglob("last.ckpt")
compared = folder / sys.argv[2] / "version_0"
words = ["--data=DigitsLT", "--top_k=10", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
for name, checkpoint in (("stage1", stage1), ("better", compared / "better.ckpt")):
    cli.main(["predict", f"--ckpt_path={checkpoint}", *words, f"--output={folder / name}_alone.csv"])
cli.main(["compare", f"--checkpoint={stage1}", "--data=DigitsLT", "--views=1", "--draws=50", "--methods=tau_norm",
          "--features.progress=false", f"--output={folder / 'alone'}"])
for path in [*compared.glob("better*.ckpt"), *compared.glob("better*.pth"), *compared.rglob("seed_*.ckpt")]:
    torch.load(path, weights_only=True)  # told nothing of a device
pixels, _ = DigitsLT().split("test").__getitems__(list(range(500)))
torch.save(torch.export.load(folder / "better.pt2").module()(pixels / 255), folder / "exported.pt")
"""


def test_all_of_it_can_be_read_where_there_is_no_gpu(folder):
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, "-c", ALONE, str(folder), DEVICE]
    done = subprocess.run(words, env=hidden, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("stage1", "better"):
        there, alone = (probabilities(folder / f"{one}.csv") for one in (name, f"{name}_alone"))
        torch.testing.assert_close(alone, there, rtol=0, atol=2e-3)  # products there are of TF32 numbers
    exported = torch.load(folder / "exported.pt", weights_only=True)
    torch.testing.assert_close(exported, probabilities(folder / "better_alone.csv"), rtol=0, atol=1e-4)
