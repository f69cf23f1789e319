"""What keeps a program from being written."""

import pytest

from lt_lightning import export
from lt_lightning.errors import UsageError
from lt_lightning.export import formats


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
