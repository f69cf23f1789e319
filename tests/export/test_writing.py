"""What keeps a program from being written."""

import pytest
import torch

from lt_lightning import export
from lt_lightning.errors import UsageError
from lt_lightning.export import formats
from lt_lightning.modules import RepresentationModule


def test_other_outputs_than_the_modules_are_refused(here, stage1, monkeypatch):
    def wrong(program, path, description):
        path.write_text("half")
        return lambda images: program.module()(images) + 2e-4

    monkeypatch.setitem(formats.FORMATS, ".pt2", formats.Format(wrong))
    with pytest.raises(UsageError, match=r"differ from the checkpoint's by 2.0e-04, more than 1e-04"):
        export.export(str(stage1), "model.pt2")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_full_disk_is_named_and_nothing_left(here, stage1, monkeypatch, kind):
    def crash(program, path, description):
        path.write_text("half")
        raise kind("no space left on device")

    monkeypatch.setitem(formats.FORMATS, ".pt2", formats.Format(crash))
    with pytest.raises(UsageError, match=r"`output` 'model.pt2' cannot be written \(no space left on device\)"):
        export.export(str(stage1), "model.pt2")
    assert list(here.iterdir()) == []


def test_weights_that_do_not_fit_into_the_file_are_not_lost(here, stage1, monkeypatch):
    program = pytest.importorskip("torch.onnx._internal.exporter._onnx_program")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(program, "_LARGE_MODEL_THRESHOLD", 0)  # bytes; of a large network there would be gigabytes
    with pytest.raises(UsageError, match=r"'model.onnx' is not written: the network's weights are too large for one"):
        export.export(str(stage1), "model.onnx")
    assert list(here.iterdir()) == []


def test_outputs_that_are_no_numbers_are_the_checkpoints_fault(here, stage1):
    contents = torch.load(stage1, weights_only=True)
    contents["state_dict"]["head.weight"].fill_(float("nan"))
    torch.save(contents, here / "diverged.ckpt")
    sentence = r"`checkpoint` gives outputs that are infinite or not a number with `temperature` 1.0; give one whose"
    with pytest.raises(UsageError, match=sentence):
        export.export("diverged.ckpt", "model.pt2")
    with pytest.raises(UsageError, match=r"not a number with `temperature` 1e-45; .* or a `temperature` nearer to 1"):
        export.export(str(stage1), "model.pt2", temperature=1e-45)


def test_a_size_that_the_network_does_not_take_is_named(here, stage1):
    sentence = r"SmallCNN that takes no images of shape \(1, 1, 1\) \(.*too small\); give the `image_size` that it was"
    with pytest.raises(UsageError, match=sentence):
        export.export(str(stage1), "model.pt2", image_size=1)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["model.pt2", "model.pt2.json"])
def test_a_folder_of_that_name_stays_and_nothing_beside_it(here, stage1, name):
    (here / name).mkdir()
    with pytest.raises(UsageError, match=rf"`output` '{name}' is a folder; give another name"):
        export.export(str(stage1), "model.pt2", overwrite=True)
    assert [path.name for path in here.iterdir()] == [name]


def test_a_file_named_twice_is_not_written_once(here, stage1):
    with pytest.raises(UsageError, match=r"`output` names 'model.pt2' twice; give each file once"):
        export.export(str(stage1), ["model.pt2", "./model.pt2"])
    assert list(here.iterdir()) == []


def test_a_forward_of_ones_own_is_not_left_out_unsaid(here, stage1, monkeypatch):
    """Such as one that takes the mean over an image and its mirror image."""
    forward = RepresentationModule.forward
    monkeypatch.setattr(RepresentationModule, "forward", lambda module, images: forward(module, images.flip(-1)))
    with pytest.raises(UsageError, match=r"has a module whose `forward` gives something else than its head"):
        export.export(str(stage1), "model.pt2")
    assert list(here.iterdir()) == []
