"""Bad input through the command itself: one sentence, exit status 2, and nothing left behind."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from made_data import write_image
from torch import nn

from lt_lightning import cli

pytestmark = pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")  # it has been trained on nothing


class Code:
    """Unpickling it would create a file."""

    def __reduce__(self):
        return Path.touch, (Path("trace"),)


def truncated(contents):
    return contents[: len(contents) // 2]


def with_code(contents):
    return pickle.dumps({"state_dict": {"weight": 1}, "extra": Code()})


def other_classes(contents):
    tensors = torch.load("model.pth", weights_only=True)
    tensors["fc.weight"], tensors["fc.bias"] = torch.zeros(7, 8), torch.zeros(7)
    torch.save(tensors, "other.pth")
    return Path("other.pth").read_bytes()


@pytest.fixture
def refused(here, capsys):
    """Runs a command that is refused, and gives its sentence; only the files listed may have appeared."""

    def run(arguments, *new):
        before = {path for path in here.rglob("*") if path.is_file()}
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert error.strip().count("\n") == 0, error
        assert {path for path in here.rglob("*") if path.is_file()} - before == {here / name for name in new}
        return error

    return run


@pytest.fixture
def folder(folder_root, here):
    """Three classes of images, and a network that nobody has trained on them."""
    from lt_lightning.backbones import SmallCNN

    write_image(folder_root / "val/cat/0.png", seed=100)  # with each class in it there is nothing to warn of
    network = nn.Module()
    network.backbone, network.fc = (
        SmallCNN(8, in_channels=3),
        nn.Linear(8, len(list((folder_root / "train").iterdir()))),
    )
    torch.save(network.state_dict(), here / "model.pth")
    return [
        "compare",
        "--checkpoint=model.pth",
        "--backbone=SmallCNN",
        "--backbone.num_features=8",
        "--backbone.in_channels=3",
        "--data=ImageFolderLT",
        f"--data.root={folder_root}",
        "--data.image_size=16",
        "--data.num_workers=0",
        "--methods=tau_norm,lort",
        "--views=1",
        "--draws=10",
        "--features.progress=false",
        "--features.device=cpu",
        "--output=better",
    ]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncated, "`checkpoint` 'broken.pth' is truncated or holds no weights"),
        (lambda _: b"epoch: 3\n", "`checkpoint` 'broken.pth' is neither a PyTorch nor a safetensors file"),
        (with_code, "`checkpoint` 'broken.pth' holds more than tensors and plain values"),
        (other_classes, "has a classifier 'fc.weight' of 7 classes, but the data have 3; give the data that"),
    ],
)
def test_checkpoints(folder, here, refused, damage, sentence):
    (here / "broken.pth").write_bytes(damage((here / "model.pth").read_bytes()))
    assert sentence in refused([*folder, "--checkpoint=broken.pth"])
    for command in (["predict", "--ckpt_path=broken.pth", "--data=DigitsLT"], ["export", "--checkpoint=broken.pth"]):
        words = [*command, "--output=out.pt2"]
        expected = "is no checkpoint of this package" if damage is other_classes else sentence.partition("'")[2]
        assert expected in refused(words)
    assert not (here / "trace").exists()


def test_an_unreadable_image_is_named(folder, folder_root, refused):
    image = sorted((folder_root / "train").rglob("*.png"))[1]
    image.write_bytes(image.read_bytes()[:40])
    for workers in (0, 1):
        error = refused([*folder, f"--data.num_workers={workers}"])
        assert error.startswith(f"lt-lightning: error: The image {image} cannot be read (")


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_class_is_named(folder, folder_root, refused, split):
    empty = sorted((folder_root / split).iterdir())[0]
    for image in empty.iterdir():
        image.unlink()
    assert f"The class folder {empty} holds no image" in refused(folder)


def test_a_disk_without_room_for_the_checkpoint_is_found_first(folder, refused, monkeypatch):
    import shutil

    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    assert "`output` 'better' has 10 bytes free, but" in refused(folder)


def test_interrupted_training_leaves_nothing(folder, here, refused, monkeypatch):
    from lt_lightning.retraining import loop

    def stop(*_):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(loop, "_teams", stop)
    assert "Interrupted: nothing is kept; with a folder as `features.cache`" in refused([*folder, "--unseen=true"])
    assert not (here / "better").exists()


@pytest.mark.filterwarnings("ignore:No method is better:UserWarning")
def test_interrupted_writing_of_checkpoints_leaves_the_results(folder, here, capsys, monkeypatch):
    from lt_lightning.comparing import files

    def stop(*_):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(files, "keep_runs", stop)
    with pytest.raises(SystemExit):
        cli.main([*folder, "--keep_runs=true"])
    said = capsys.readouterr().err
    assert "Interrupted: the results are written to better/version_0/results.json; checkpoints may be missing" in said
    assert (here / "better/version_0/results.json").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_papers_protocol_is_interrupted_as_well(folder, here, refused, monkeypatch, number):
    """A Trainer catches signals of its own."""
    from lt_lightning.comparing import paper

    def stop(*_):
        signal.raise_signal(number)

    monkeypatch.setattr(paper._BestOnTest, "on_train_epoch_end", stop)
    words = [word for word in folder if not word.startswith("--views")]
    (here / "short.yaml").write_text("epochs: 50\nbatch_size: 4\n")
    assert "Interrupted: nothing is kept" in refused([*words, "--protocol=paper", "--methods=short.yaml"])
    assert not (here / "better").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_extraction_that_a_scheduler_ends_goes_on(folder, folder_root, here):
    """The process itself, as a user starts it."""
    many = folder_root / "train" / sorted(path.name for path in (folder_root / "train").iterdir())[0]
    first = sorted(many.iterdir())[0]
    for number in range(2000):
        os.link(first, many / f"copy{number}.png")
    words = [sys.executable, "-m", "lt_lightning", *folder, "--features.cache=kept", "--views=60"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True, cwd=here)
    while not list(here.glob("kept/*.partial/done-0.txt")):
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.05)
    started.terminate()
    said = started.communicate(timeout=300)[1].splitlines()
    assert started.returncode == 2
    (error,) = [line for line in said if "warning: 3 of 3 classes with validation images have fewer than 5" not in line]
    assert "Interrupted: what has been extracted is in `features.cache` 'kept', so the same command goes on" in error
    assert not (here / "better").exists()
