"""Files that are opened safely, and those that are refused."""

import argparse
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.errors import UsageError


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is an empty file; copy or download it again.$"),
        (
            b"epoch: 3\nmodel: resnet\n",
            r"is neither a PyTorch nor a safetensors file: it starts with b'.*'; give the file that holds",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "it starts with b'version https://'; it is a pointer, so run `git lfs pull`.$",
        ),
        (b'{\n  "weight_map": {}}', "it is JSON, and an index names the files of parts: join these into one file"),
        ([torch.ones(2)], r"holds a list, not a dictionary of tensors; save `model\.state_dict\(\)` alone"),
        (torch.ones(2), "holds a Tensor, not a dictionary of tensors"),
    ],
)
def test_foreign_files_are_refused(tmp_path, content, sentence):
    with pytest.raises(UsageError, match=f"^`checkpoint` '.*x.pth' .*{sentence}"):
        open_safely(write(tmp_path / "x.pth", content))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, zipped, share):
    whole = tmp_path / "whole.pth"
    torch.save({"weight": torch.ones(3000)}, whole, _use_new_zipfile_serialization=zipped)
    content = whole.read_bytes()
    path = write(tmp_path / "x.pth", content[: int(share * len(content))])
    with pytest.raises(
        UsageError, match=r"'.*x.pth' is truncated or holds no weights \(.+\); copy or download it again, or .*\.$"
    ):
        open_safely(path)


@pytest.mark.parametrize("path", ["nowhere.pth", "."])
def test_a_path_that_is_no_file_is_refused(here, path):
    with pytest.raises(UsageError, match=f"`checkpoint` '{path}' is not a file; give the path of a stage-1 checkpoint"):
        open_safely(Path(path))


class Foreign:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path, save):
    path, trace = tmp_path / "x.pth", tmp_path / "trace"
    save({"state_dict": {"weight": torch.ones(2)}, "extra": Foreign(trace)}, path)
    sentence = r"holds more than tensors .* save `model.state_dict\(\)` alone with `torch.save`"
    with pytest.raises(UsageError, match=sentence):
        open_safely(path)
    assert not trace.exists()


def test_a_pickled_module_is_refused_by_name(tmp_path):
    path = write(tmp_path / "x.pth", nn.Linear(2, 2))
    sentence = r"\(it needs `torch.nn.modules.linear.Linear`\), and opening it could run foreign code; save `model"
    with pytest.raises(UsageError, match=sentence):
        open_safely(path)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "x.pt")
    with pytest.raises(UsageError, match=r"is a TorchScript program, not weights; save `model.state_dict\(\)` alone"):
        open_safely(tmp_path / "x.pt")


def test_plain_values_of_training_scripts_are_no_code(tmp_path):
    values = {
        "args": argparse.Namespace(lr=0.1, arch="resnet32"),
        "best_acc1": np.float64(0.5),
        "epoch": np.int64(7),
        "data": Path("photos/train"),
        "counts": np.arange(3),
        "flags": np.array([True, False]),
        "per_class": np.array([0.5, 0.25], dtype=np.float32),
    }
    contents = open_safely(write(tmp_path / "x.pth", values | {"weight": torch.ones(2)}))
    assert (contents["args"], contents["data"]) == (values["args"], values["data"])
    assert (contents["best_acc1"], contents["epoch"]) == (0.5, 7)
    assert all(np.array_equal(contents[key], values[key]) for key in ("counts", "flags", "per_class"))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()  # the list is back as it was


def test_an_array_of_objects_brings_no_code_with_it(tmp_path):
    trace = tmp_path / "trace"
    array = np.array([Foreign(trace), None], dtype=object)
    with pytest.raises(UsageError, match="holds more than tensors"):
        open_safely(write(tmp_path / "x.pth", {"counts": array}))
    assert not trace.exists()


# -- safetensors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "weights.bin"])
def test_safetensors_are_known_by_their_content(tmp_path, name):
    save_file = pytest.importorskip("safetensors.torch").save_file
    tensors = {"fc.weight": torch.randn(3, 2), "fc.bias": torch.randn(3)}
    save_file(tensors, tmp_path / name)
    contents = open_safely(tmp_path / name)
    assert contents.keys() == tensors.keys()
    assert all(torch.equal(contents[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_truncated_safetensors_are_refused(tmp_path, share):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"weight": torch.randn(30)}, tmp_path / "whole.safetensors")
    content = (tmp_path / "whole.safetensors").read_bytes()
    path = write(tmp_path / "x.safetensors", content[: int(share * len(content))])
    with pytest.raises(
        UsageError,
        match=r"'.*x.safetensors' is truncated or no safetensors file \(.+\); copy or download it again, or .*\.$",
    ):
        open_safely(path)


def test_a_pytorch_file_with_the_wrong_ending_is_read(tmp_path):
    contents = open_safely(write(tmp_path / "x.safetensors", {"weight": torch.ones(2)}))
    assert list(contents) == ["weight"]


def test_without_safetensors_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    path = write(tmp_path / "x.safetensors", (2).to_bytes(8, "little") + b"{}")
    with pytest.raises(UsageError, match=r'needs safetensors, .*`pip install "lt_lightning\[safetensors\]"`'):
        open_safely(path)


def test_a_file_that_is_closed_to_the_reader_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "last.ckpt", {"weight": torch.zeros(1)})

    def closed(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", closed)  # rights would not keep an administrator out
    with pytest.raises(UsageError, match=r"last\.ckpt' cannot be read \(Permission denied\); give a file that you may"):
        open_safely(path)
