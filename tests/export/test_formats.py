"""Tracing, and what a format needs."""

import logging

import pytest
import torch

from lt_lightning import export
from lt_lightning.backbones import Backbone
from lt_lightning.errors import UsageError
from lt_lightning.export import formats
from lt_lightning.records import read_record


def test_a_missing_package_is_named_before_anything_is_read(monkeypatch):
    real = formats.import_module

    def without(name):
        if name.startswith("onnx"):
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(formats, "import_module", without)
    with pytest.raises(
        UsageError, match=r'needs onnx, onnxscript, onnxruntime, .*pip install "lt_lightning\[export\]"'
    ):
        export.export("gone.ckpt", "model.onnx")


class Fickle(Backbone):
    """A network that no program can follow: what it does depends on the values of its images."""

    num_features = 8

    def forward(self, images):
        return images.flatten(1)[:, :8] if float(images.sum()) > 0 else images.flatten(1)[:, 8:16]


def test_a_network_that_cannot_be_traced_is_named(here, stage1):
    record = read_record(stage1)
    module = export.rebuild(record)
    module.backbone = Fickle()
    program = export.Program(module, None, 1.0, False).eval()
    description = export.describe(record, record.pre_processing(), program)
    with pytest.raises(UsageError, match=r"has a network of Fickle and LinearHead that torch.export cannot trace"):
        export.write(program, here / "model.pt2", description)
    assert list(here.iterdir()) == []


def test_the_exporter_says_nothing_of_its_own(here, stage1, monkeypatch, capsys, caplog):
    for package in formats.FORMATS[".onnx"].packages:
        pytest.importorskip(package)
    real, logger = torch.onnx.export, logging.getLogger("torch.onnx._internal.exporter._schemas")

    def talks(*given, **options):
        logger.warning("Missing annotation for parameter 'input'")  # as torch 2.9
        print("Applied 9 of general pattern rewrite rules.")  # as onnxscript 0.6
        return real(*given, **options)

    monkeypatch.setattr(torch.onnx, "export", talks)
    export.export(str(stage1), "model.onnx")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("model.onnx written")
    assert "Missing annotation" not in caplog.text
    with caplog.at_level(logging.WARNING):
        logger.warning("said of others")
    assert "said of others" in caplog.text
