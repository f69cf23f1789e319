"""What README and docs tell a user to type works as typed."""

import csv
import json
import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from lt_lightning import cli, presets
from lt_lightning.backbones import SmallCNN
from lt_lightning.callbacks import DRW, LinearWarmup, WeightEMA
from lt_lightning.data import DigitsLT
from lt_lightning.features import ExtractionOptions, extract
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.main import main
from tests.one_device import OneDevice

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


COMMANDS = sorted(
    {
        line
        for page in PAGES
        for block in blocks(page, "bash")
        for line in block.splitlines()
        if "lt-lightning" in line and "lt-lightning report" not in line  # which has no configuration to show
    }
)


def test_the_two_commands_that_ci_runs_are_there():
    lines = [line for block in blocks(PAGES[0], "bash") for line in block.splitlines()]
    assert lines[0] == "pip install -e . && lt-lightning pipeline -c quickstart"
    assert 'pip install -e ".[dev]" && pytest -n 2' in lines


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command, here, monkeypatch, capsys, stage1):
    """Each command, complete as printed, is understood: its configuration is shown instead of run."""
    for page in PAGES:
        for block in blocks(page, "python"):
            if name := re.match(r"# (\w+)\.py\n", block):
                (here / f"{name[1]}.py").write_text(block)
    monkeypatch.syspath_prepend(here)
    begun = "runs/quickstart/version_0/stage1/checkpoints/last.ckpt"
    for place in (
        "last.ckpt",
        "runs/probe/version_0/probe.ckpt",
        begun,
    ):  # what predicts or starts brings its model along
        (here / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(stage1, here / place)
    run = here / "runs/quickstart/version_0"
    shutil.copy(presets.resolve("quickstart"), run / "config.yaml")
    (run / "unfinished.json").touch()
    arguments = shlex.split(command.rpartition("lt-lightning ")[2])
    if not any(word.endswith(("help", "--print_config")) for word in arguments) and "--model.help" not in arguments:
        arguments.append("--print_config")
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    shown = capsys.readouterr()
    assert stop.value.code == 0, shown.err
    assert ("data:" if re.search("inspect|probe|compare", command) else "model") in shown.out


def test_presets_in_the_readme_exist():
    """The page names families and examples; docs/presets.md, which test_preset_pages checks, names each."""
    text = PAGES[0].read_text()
    known = presets.names()
    sets = {name.partition("/")[0] for name in known if "/" in name}
    named = {name for name in re.findall(r"`(\w+/[\w/]+)`", text) if name.partition("/")[0] in sets}
    assert {"cifar100_lt/pipeline_lort", "cifar100_lt/stage1/ce"} <= named <= set(known)
    families = re.findall(r"`(\w+(?:/stage1)?)/(?:<method>|…)`", text)
    found = {name.rpartition("/")[0] for name in known if "/" in name}
    assert set(families) <= found
    assert found - set(families) <= {name.rpartition("/")[0] for name in named}
    assert "docs/presets.md" in text


@pytest.fixture
def extensions(here, monkeypatch):
    """The modules of the extension page, to be imported."""
    for block in blocks(ROOT / "docs/extend.md", "python"):
        (here / block.split(".py")[0].removeprefix("# ")).with_suffix(".py").write_text(block)
    monkeypatch.syspath_prepend(here)
    return here


@pytest.mark.parametrize("part", ["--model.head=my_head.ScaledHead", "--model.loss=my_loss.SquaredLoss"])
def test_parts_of_the_extension_page_train(part, extensions, tiny, stage1):
    options = (f"--model.checkpoint={stage1}", "--trainer.max_epochs=1", "--data.sampler=my_sampler.CappedSampler")
    own = ("--trainer.callbacks+=my_callback.TrainingAccuracy", "--data.augmentation=my_augmentation.Darken")
    main(tiny("fit", "RetrainModule", part, *own, *options))
    (path,) = extensions.rglob("results.json")
    record = json.loads(path.read_text())
    assert 0 <= record["diagnostics"]["training_accuracy"]["few"] <= 1
    assert record["augmentation"] == {"class": "my_augmentation.Darken", "most": 0.5}


def test_head_and_loss_of_the_extension_page_keep_their_digits(extensions):
    """In a loop of one's own too, which may call them under autocast, or in fp64."""
    import my_head
    import my_loss

    head, loss = my_head.ScaledHead(6, [5, 3, 2]), my_loss.SquaredLoss([5, 3, 2])
    features, targets = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(features)
        assert loss(logits.bfloat16(), targets).dtype == torch.float32
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, head.linear(features) / 2)
    assert loss(head.double()(features.double()), targets).dtype == torch.float64


def test_mixing_and_module_of_the_extension_page_train(extensions, tiny, stage1):
    main(tiny("fit", "RepresentationModule", "--model.mixing=my_mixing.HalfMixing", "--trainer.max_epochs=1"))
    (path,) = extensions.rglob("results.json")
    assert json.loads(path.read_text())["mixing"] == "HalfMixing"
    options = (f"--model.checkpoint={stage1}", "--trainer.max_epochs=1", "--model.strength=0.01")
    main(tiny("fit", "my_module.Decayed", *options))
    assert {json.loads(path.read_text())["model"] for path in extensions.rglob("results.json")} == {
        "RepresentationModule",
        "Decayed",
    }


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning")
def test_views_of_the_extension_page_train_and_are_compared_without_the_second(extensions, tiny):
    main(tiny("fit", "my_views.Agreeing", "--data=my_views.TwoViews", "--trainer.max_epochs=1"))
    (checkpoint,) = extensions.rglob("last.ckpt")
    quick = ["--views=2", "--methods=linear", "--grid.lr=1e-3", "--oracle=false", "--features.progress=false"]
    cli.main(["compare", f"--checkpoint={checkpoint}", "--data=DigitsLT", "--output=compared", *quick])
    (path,) = (extensions / "compared").rglob("results.json")
    assert "the checkpoint records these training images" in path.read_text()


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning")
def test_data_of_the_extension_page_train_and_are_exported(extensions, capsys):
    data = DigitsLT()
    arrays = {}
    for split in ("train", "val", "test"):
        images = data.split(split)
        arrays |= {f"{split}_images": images.images.numpy(), f"{split}_labels": images.targets.numpy()}
    np.savez(extensions / "digits.npz", **arrays)
    options = ["--data.path=digits.npz", "--data.batch_size=64", "--data.sampler=my_sampler.CappedSampler"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--trainer.precision=32-true"]
    model = ["--model=RepresentationModule", "--model.backbone=SmallCNN", "--trainer.max_epochs=2"]
    main(["fit", *model, "--data=my_data.ArraysLT", *options, *quiet])
    (path,) = extensions.rglob("results.json")
    record = json.loads(path.read_text())
    assert record["class_counts"] == data.class_counts
    assert record["sampler"] == "CappedSampler"
    (checkpoint,) = extensions.rglob("last.ckpt")
    cli.main(["export", f"--checkpoint={checkpoint}", "--output=digits.pt2"])
    assert "digits.pt2 written" in capsys.readouterr().out
    quick = ["--views=1", "--methods=tau_norm", "--features.progress=false", "--output=compared"]
    model = [f"--checkpoint={checkpoint}", "--backbone=SmallCNN"]
    cli.main(["compare", *model, "--data=my_data.ArraysLT", "--data.path=digits.npz", *quick])
    (path,) = (extensions / "compared").rglob("results.json")
    assert "the checkpoint records these training images" in path.read_text()


def test_augmentation_and_data_of_the_extension_page_have_views_on_another_device(extensions, monkeypatch):
    """Extraction brings a generator on the CPU, whichever device the images are on."""
    import my_augmentation
    import my_data

    images = DigitsLT().split("train")
    np.savez("digits.npz", train_images=images.images.numpy(), train_labels=images.targets.numpy())
    quiet = {"progress": False, "channels_last": False}
    module = sys.modules[extract.__module__]
    monkeypatch.setattr(module, "_pass", lambda network, inputs, options: torch.zeros(len(inputs), 8))
    for data in (DigitsLT(augmentation=my_augmentation.Darken), my_data.ArraysLT("digits.npz")):
        with OneDevice():
            found = extract(SmallCNN(8), data, views=2, options=ExtractionOptions(device="meta", **quiet))
        assert found.values.shape == (2, len(images), 8)


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning")
def test_figures_of_each_class_are_read_as_the_pages_say(here, stage1):
    quick = ["--views=1", "--methods=tau_norm", "--oracle=false", "--features.progress=false"]
    cli.main(["compare", f"--checkpoint={stage1}", "--data=DigitsLT", *quick])
    (block,) = blocks(ROOT / "docs/compare.md", "python")
    scope: dict[str, object] = {}
    exec(block, scope)
    assert list(scope["accuracies"]) == ["stage 1", "tau_norm"]
    row = scope["found"]["rows"]["stage 1"]["seeds"][0]
    correct, total = row["per_class"]["correct"], row["per_class"]["total"]
    assert scope["accuracies"]["stage 1"] == [right / all_ for right, all_ in zip(correct, total, strict=True)]
    assert len(total) == len(scope["found"]["class_names"])

    quiet = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    cli.main(["predict", f"--ckpt_path={stage1}", "--data=DigitsLT", "--output=predictions.csv", *quiet])
    (pairs,) = re.findall(r"`(Counter\(.*?\))`", (ROOT / "docs/predict.md").read_text())
    confusion = eval(pairs, {"Counter": Counter, "Path": Path, "csv": csv})
    assert [confusion[name, name] for name in scope["found"]["class_names"]] == correct


@pytest.mark.filterwarnings("ignore:The model is no worse on images of `val_loader`:UserWarning")
def test_python_of_the_readme_runs(here, monkeypatch):
    retraining, training = blocks(PAGES[0], "python")
    scope: dict[str, object] = {}
    exec(training.replace('"max_epochs": 40', '"max_epochs": 1'), scope)
    assert scope["made"].trainer.current_epoch == 1
    images, targets = torch.randn(60, 1, 8, 8), torch.arange(60) % 3
    loaders = {f"{split}_loader": [(images, targets)] for split in ("train", "val", "test")}
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    scope = {"model": model, **loaders}
    exec(retraining, scope)
    assert scope["better"](images).shape == (60, 3)


def test_the_loop_of_ones_own_trains(here, capsys):
    block, _ = blocks(ROOT / "docs/own_loop.md", "python")  # the other one is in tests/test_own_loop.py
    scope: dict[str, object] = {}
    exec(block, scope)
    assert scope["loss"].weight is not None  # the schedule has set in
    assert scope["accuracy"].compute()["all"] > 0.5
    assert "'few'" in capsys.readouterr().out


@pytest.mark.parametrize("callback", [DRW(start=1), LinearWarmup(1), WeightEMA()], ids=lambda one: type(one).__name__)
def test_callbacks_that_the_page_names_serve_any_lightning_module(callback):
    class Mine(LightningModule):
        def __init__(self):
            super().__init__()
            self.layer, self.loss = torch.nn.Linear(8, 3), CrossEntropyLoss([9, 4, 2])

        def training_step(self, batch, batch_idx):
            return self.loss(self.layer(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=2, callbacks=[callback], enable_model_summary=False, **quiet)
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor([9, 4, 2]))
    trainer.fit(Mine(), DataLoader(TensorDataset(torch.randn(15, 8), targets), batch_size=5))
    assert trainer.global_step == 6


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
