"""Programs that need no Lightning."""

import hashlib
import json
import re
import signal

import pytest
import torch
from full_disk import output_without_room

from lt_lightning import cli, export
from lt_lightning.backbones import Identity
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.export import command
from lt_lightning.losses import ClassBalancedLoss
from lt_lightning.main import main
from lt_lightning.modules import RepresentationModule
from lt_lightning.records import read_record


def digit_images():
    pixels, _ = DigitsLT().split("test").__getitems__(list(range(50)))
    return pixels


def eager(checkpoint, pixels, temperature=1.0):
    module = export.rebuild(read_record(checkpoint))
    logits = module(DigitsLT().to_input(pixels, training=False, generator=None)) / temperature
    return module, logits


def run_onnx(path, images):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,), (output,) = session.get_inputs(), session.get_outputs()
    assert given.name == "images"
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0]), output.name, session


@pytest.fixture(scope="module")
def stage2(tmp_path_factory, tiny, stage1):
    """A stage-2 checkpoint whose loss is one sigmoid per class, and whose stage-1 file is not where it was."""
    folder = tmp_path_factory.mktemp("stage2")
    options = ("--model.loss=ClassBalancedLoss", "--model.loss.kind=sigmoid", "--model.head=CosineHead")
    where = (f"--trainer.default_root_dir={folder}", "--trainer.max_epochs=1", f"--model.checkpoint={stage1}")
    main(tiny("fit", "RetrainModule", *options, *where))
    (found,) = folder.rglob("last.ckpt")
    contents = torch.load(found, weights_only=True)
    contents["hyper_parameters"]["checkpoint"] = "gone.ckpt"
    torch.save(contents, found)
    return found


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_program_gives_the_checkpoints_probabilities(here, request, stage, form, capsys):
    if form == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)
    checkpoint = request.getfixturevalue(stage)
    cli.main(["export", "--checkpoint", str(checkpoint), "--output", f"out/model.{form}", "--temperature", "1.7"])
    said = capsys.readouterr().out
    assert f"out/model.{form} written: its outputs differ from the checkpoint's by" in said
    assert re.search(r"by \d\.\de[-+]\d\d in a probability and \d\.\de[-+]\d\d of the largest logit at most\n", said)
    pixels = digit_images()
    module, logits = eager(checkpoint, pixels, temperature=1.7)
    expected = module.loss.probabilities(logits)
    assert isinstance(module.loss, ClassBalancedLoss) == (stage == "stage2")
    described = json.loads((here / f"out/model.{form}.json").read_text())
    images = pixels.float() / 255
    for number in (1, 50):
        if form == "onnx":
            found, name, session = run_onnx(here / "out/model.onnx", images[:number])
            metadata = session.get_modelmeta().custom_metadata_map
            inside = {key: metadata[key] if key in TEXTS else json.loads(metadata[key]) for key in described}
            assert name == "probabilities"
        else:
            extra = {"metadata.json": ""}
            found = torch.export.load(here / "out/model.pt2", extra_files=extra).module()(images[:number])
            inside = json.loads(extra["metadata.json"])
        torch.testing.assert_close(found, expected[:number], rtol=1e-4, atol=1e-5)
    assert inside == described
    assert described["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert described["class_names"] == list("0123456789")
    assert described["output"]["probabilities"] == {"stage1": "softmax", "stage2": "sigmoid"}[stage]
    assert described["output"]["temperature"] == 1.7
    assert described["pre_processing"]["mean"] == [0.3053]
    assert described["pre_processing"]["order"] == "L"
    assert described["input"]["shape"] == ["batch", 1, 8, 8]
    assert sorted(path.name for path in (here / "out").iterdir()) == [f"model.{form}", f"model.{form}.json"]


TEXTS = ("lt_lightning", "checkpoint", "checkpoint_sha256")


def test_logits_of_normalised_images(here, stage1):
    options = ["--include_normalization=false", "--logits=true", "--temperature=2", "--image_size=12"]
    cli.main(["export", f"--checkpoint={stage1}", "--output=plain.pt2", *options])
    module = export.rebuild(read_record(stage1))
    images = torch.randn(3, 1, 12, 12)
    program = torch.export.load(here / "plain.pt2").module()
    torch.testing.assert_close(program(images), module(images) / 2)
    described = json.loads((here / "plain.pt2.json").read_text())
    assert described["output"]["name"] == "logits"
    assert described["input"]["shape"] == ["batch", 1, 12, 12]
    assert described["input"]["scale"] == "normalised by `mean` and `std`"


def test_averaging_over_mirror_images_is_said_to_be_left_aside(here, stage1):
    contents = torch.load(stage1, weights_only=True)
    contents["hyper_parameters"]["flip_average"] = True
    torch.save(contents, here / "averaged.ckpt")
    with pytest.warns(UserWarning, match="`flip_average` of the checkpoint is left aside"):
        cli.main(["export", "--checkpoint=averaged.ckpt", "--output=once.pt2"])
    images = torch.rand(3, 1, 8, 8)
    _, logits = eager(stage1, (255 * images).to(torch.uint8))
    found = torch.export.load(here / "once.pt2").module()((255 * images).to(torch.uint8) / 255)
    torch.testing.assert_close(found, logits.softmax(1), rtol=1e-4, atol=1e-5)


def test_files_are_replaced_on_request_alone(here, stage1):
    arguments = ["export", f"--checkpoint={stage1}", "--output=[a.pt2,b.pt2]"]
    cli.main(arguments)
    before = (here / "a.pt2").read_bytes()
    (here / "b.pt2").unlink()
    with pytest.raises(UsageError, match=r"`output` 'a.pt2' exists; give another name, or `--overwrite true`"):
        export.main(arguments)
    assert not (here / "b.pt2").exists()
    assert (here / "a.pt2").read_bytes() == before
    export.main([*arguments, "--overwrite=true", "--temperature=3"])
    assert json.loads((here / "a.pt2.json").read_text())["output"]["temperature"] == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--output=model.pb"], r"`output` 'model.pb' must end in .onnx or .pt2"),
        (["--output=[]"], "`output` is empty"),
        (["--output=m.pt2", "--temperature=0"], "`temperature` must be above 0 and finite, but got 0"),
        (["--output=m.pt2", "--image_size=0"], "`image_size` must be at least 1, but got 0"),
        (["--output=m.pt2", "--mean=[1,2]"], r"`mean` and `std` must hold 1 number, one per channel"),
        (["--output=m.pt2", "--opset=9"], "opset"),
        ([], "output"),
    ],
)
def test_wrong_options_are_named(here, stage1, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        export.main(["export", f"--checkpoint={stage1}", *options])
    assert list(here.iterdir()) == []


class Flat(DigitsLT):
    """Each image as one row."""

    def to_input(self, images, training, generator):
        return super().to_input(images, training, generator).flatten(1)


def test_a_network_of_vectors_is_refused(here, trainer):
    data = Flat()
    run = trainer()
    run.fit(RepresentationModule(data.class_counts, Identity(64)), datamodule=data)
    run.save_checkpoint("vectors.ckpt")
    with pytest.raises(UsageError, match=r"`checkpoint` 'vectors.ckpt' was trained on vectors of 64, but `export` and"):
        export.export("vectors.ckpt", "a.pt2", image_size=64, mean=[0.0], std=[1.0])
    assert not (here / "a.pt2").exists()


def test_the_checkpoint_may_be_called_as_predict_calls_it(here, stage1):
    cli.main(["export", "--ckpt_path", str(stage1), "--output=one.pt2"])
    cli.main(["export", f"--ckpt_path={stage1}", "--output=two.pt2"])
    assert (here / "one.pt2").is_file()
    assert (here / "two.pt2").is_file()


def test_a_tilde_is_the_home_folder(here, stage1, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    cli.main(["export", "--checkpoint", str(stage1), "--output=~/model.pt2"])
    assert [path.name for path in here.iterdir()] == ["home"]
    assert (here / "home" / "model.pt2").is_file()


def test_files_that_are_written_are_named_though_nothing_can_be_printed(here, stage1):
    full = r"^No space left on device; make room there\. "
    with pytest.raises(UsageError, match=rf"{full}`a\.pt2` had been written\.$"), output_without_room():
        export.main(["export", f"--checkpoint={stage1}", "--output=a.pt2"])
    rest = r"`b\.pt2` had been written; run the command again with the others alone as `output`\.$"
    with pytest.raises(UsageError, match=full + rest), output_without_room():
        export.main(["export", f"--checkpoint={stage1}", "--output=[b.pt2,c.pt2]"])
    assert sorted(path.name for path in here.iterdir()) == ["a.pt2", "a.pt2.json", "b.pt2", "b.pt2.json"]


def test_what_was_interrupted_before_has_written_nothing(here, stage1, monkeypatch):
    def stop(*_):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(command, "write", stop)
    with pytest.raises(UsageError, match=r"^Interrupted: nothing has been written; run the same command again\.$"):
        export.main(["export", f"--checkpoint={stage1}", "--output=a.pt2"])
    assert list(here.iterdir()) == []
