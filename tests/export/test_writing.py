"""What keeps a program from being written."""

from dataclasses import replace

import pytest
import torch
from full_disk import files_of_at_most

from lt_lightning import export
from lt_lightning.errors import UsageError
from lt_lightning.export import formats
from lt_lightning.heads import LinearHead
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss
from lt_lightning.modules import RepresentationModule
from lt_lightning.records import read_record


def test_other_outputs_than_the_modules_are_refused(here, stage1, monkeypatch):
    def wrong(program, path, description):
        path.write_text("half")
        return lambda images: program.module()(images) + 2e-4

    monkeypatch.setitem(formats.FORMATS, ".pt2", formats.Format(wrong))
    with pytest.raises(UsageError, match=r"differ from the checkpoint's by 2.0e-04, more than 1e-04"):
        export.export(str(stage1), "model.pt2")
    assert list(here.iterdir()) == []


def exchanged(program):
    """The same program with the first two rows of its classifier exchanged; its module stays."""
    weight = program.state_dict["head.weight"]
    other = torch.nn.Parameter(weight[[1, 0, *range(2, len(weight))]], requires_grad=False)
    program.state_dict["head.weight"] = other
    return program


def test_outputs_that_are_no_numbers_are_not_near_the_modules(here, stage1, monkeypatch):
    wrong = formats.Format(lambda program, path, description: lambda images: program.module()(images) * float("nan"))
    monkeypatch.setitem(formats.FORMATS, ".pt2", wrong)
    with pytest.raises(UsageError, match="differ from the checkpoint's by nan"):
        export.export(str(stage1), "model.pt2")
    assert list(here.iterdir()) == []


class Halved(CrossEntropyLoss):
    """A loss that makes something of its own of logits."""

    def probabilities(self, logits):
        return super().probabilities(logits) / 2


def sure(stage1, counts, loss, factor, logits=False):
    """A program whose classifier was trained in bf16 and has weights so large that it is sure of everything."""
    record = read_record(stage1)
    module = export.rebuild(record)
    module.head = LinearHead(module.backbone.num_features, counts)
    module.loss = loss
    torch.manual_seed(3)
    module.head.weight.data = torch.randn(len(counts), module.backbone.num_features).bfloat16().float() * factor
    program = export.Program(module, record.pre_processing(), 1.0, logits).eval().requires_grad_(False)
    return program, export.describe(record, record.pre_processing(), program)


@pytest.mark.parametrize(
    ("form", "loss", "num_classes", "logits"),
    [
        *[(form, loss, 10, False) for form in (".onnx", ".pt2") for loss in ("softmax", "sigmoid")],
        *[(".pt2", "softmax", *case) for case in ((2, False), (8142, False), (8142, True))],
    ],
)
def test_exchanged_classes_are_seen_in_a_checkpoint_that_is_sure_of_everything(
    here, stage1, monkeypatch, form, loss, num_classes, logits
):
    for package in formats.FORMATS[form].packages:
        pytest.importorskip(package)
    counts, path = [5] * num_classes, here / f"model{form}"
    made = CrossEntropyLoss(counts) if loss == "softmax" else ClassBalancedLoss(counts, kind="sigmoid")
    program, description = sure(stage1, counts, made, 1e5, logits)
    if not logits:
        probabilities = program(torch.rand(7, 1, 8, 8))
        assert float(((probabilities == 0) | (probabilities == 1)).float().mean()) > 0.9
    right = formats.FORMATS[form]
    wrong = replace(right, write=lambda program, *rest: right.write(exchanged(program), *rest))
    monkeypatch.setitem(formats.FORMATS, form, wrong)
    with pytest.raises(UsageError, match="is not written: its outputs would differ from the checkpoint's by"):
        export.write(program, path, description)
    assert list(here.iterdir()) == []
    monkeypatch.setitem(formats.FORMATS, form, right)
    found = export.write(program, path, description)
    assert found.logits < 1e-5
    assert (found.last_step is None) == logits
    assert logits or found.last_step < 1e-5
    assert path.is_file()


def test_exchanged_classes_are_seen_though_a_losss_own_probabilities_are_small(here, stage1, monkeypatch):
    program, description = sure(stage1, [5] * 10, Halved([5] * 10), 60.0)
    probabilities = program(torch.rand(7, 1, 8, 8))
    assert 0 < float(probabilities[:, :2].max()) < 1e-6
    right = formats.FORMATS[".pt2"]
    wrong = replace(right, write=lambda program, *rest: right.write(exchanged(program), *rest))
    monkeypatch.setitem(formats.FORMATS, ".pt2", wrong)
    with pytest.raises(UsageError, match="is not written: its outputs would differ from the checkpoint's by"):
        export.write(program, here / "model.pt2", description)
    monkeypatch.setitem(formats.FORMATS, ".pt2", right)
    found = export.write(program, here / "logits.pt2", description)
    assert max(found.logits, found.probabilities, found.last_step) < 1e-5
    outputs = torch.export.load(here / "logits.pt2").module()(torch.rand(2, 1, 8, 8))
    torch.testing.assert_close(outputs.sum(1), torch.full((2,), 0.5))
    assert sorted(path.name for path in here.iterdir()) == ["logits.pt2", "logits.pt2.json"]


class Ordinal(CrossEntropyLoss):
    """Classes in an order, each of which gets what two sigmoids differ by: small ones are rounded to 1e-7."""

    def probabilities(self, logits):
        above = torch.sigmoid(logits)
        shares = torch.cat([(above[:, :-1] - above[:, 1:]).clamp_min(0), above[:, -1:]], dim=1)
        return shares / shares.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("form", [".onnx", ".pt2"])
def test_probabilities_that_are_differences_may_be_rounded_as_such(here, stage1, form):
    for package in formats.FORMATS[form].packages:
        pytest.importorskip(package)
    program, description = sure(stage1, [5] * 10, Ordinal([5] * 10), 1.0)
    weight, bias = program.head.weight.data, program.head.bias.data
    weight[1], bias[1] = weight[0], bias[0] - 2e-6  # two sigmoids that hardly differ
    assert 0 < float(program(torch.rand(7, 1, 8, 8))[:, 0].max()) < 1e-6
    found = export.write(program, here / f"model{form}", description)
    assert max(found.logits, found.probabilities, found.last_step) < 1e-5


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_full_disk_is_named_and_nothing_left(here, stage1, monkeypatch, kind):
    def crash(program, path, description):
        path.write_text("half")
        raise kind("no space left on device")

    monkeypatch.setitem(formats.FORMATS, ".pt2", formats.Format(crash))
    with pytest.raises(UsageError, match=r"`output` 'model.pt2' cannot be written \(no space left on device\)"):
        export.export(str(stage1), "model.pt2")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("form", [".onnx", ".pt2"])
def test_a_disk_that_fills_up_is_named_and_nothing_left(here, stage1, form):
    for package in formats.FORMATS[form].packages:
        pytest.importorskip(package)
    sentence = rf"`output` 'model{form}' cannot be written \(\[Errno 27\] File too large\); nothing has changed there"
    with files_of_at_most(2000), pytest.raises(UsageError, match=sentence):
        export.export(str(stage1), f"model{form}")
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


def test_a_forward_of_ones_own_is_seen_in_a_checkpoint_that_is_sure_of_everything(here, stage1, monkeypatch):
    forward = RepresentationModule.forward
    others = [0, 2, 1, *range(3, 10)]
    monkeypatch.setattr(RepresentationModule, "forward", lambda module, images: forward(module, images)[:, others])
    program, description = sure(stage1, [5] * 10, CrossEntropyLoss([5] * 10), 1e5)
    with pytest.raises(UsageError, match=r"has a module whose `forward` gives something else than its head"):
        export.write(program, here / "model.pt2", description)
    assert list(here.iterdir()) == []
