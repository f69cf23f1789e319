"""predict, typed as a user would."""

import csv
import json
import re

import pytest
import torch
from full_disk import output_without_room
from lightning.pytorch import Callback
from PIL import Image

from lt_lightning import cli
from lt_lightning.data import DigitsLT, PredictFolder
from lt_lightning.errors import UsageError
from lt_lightning.predict import complete, main

ON_CPU = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def photos(tmp_path):
    """The first of the digits' test images as files, and their classes."""
    pixels, targets = DigitsLT().split("test").__getitems__(list(range(500)))
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(pixels[number, 0].numpy()).save(folder / f"{number:02}.png")
    return folder, targets[:12].tolist()


def test_a_checkpoint_and_a_folder_are_enough(here, stage1, photos):
    """The folder's images get the probabilities that the same images get from the data module."""
    folder, _ = photos
    cli.main(["predict", f"--ckpt_path={stage1}", "--data=DigitsLT", "--top_k=10", "--output=labelled.csv", *ON_CPU])
    workers = "--data.num_workers=0"
    options = [
        "--data",
        "PredictFolder",
        "--data.root",
        str(folder),
        workers,
        "--top_k",
        "10",
        "--output",
        "photos.csv",
    ]
    cli.main(["predict", "--ckpt_path", str(stage1), *options, *ON_CPU])
    labelled, found = rows_of(here / "labelled.csv")[:12], rows_of(here / "photos.csv")
    assert [row["path"] for row in found] == [f"{number:02}.png" for number in range(12)]
    assert "target" not in found[0]
    for row, expected in zip(found, labelled, strict=True):
        for key in ("index_1", "class_1", "index_10"):
            assert row[key] == expected[key]
        assert float(row["probability_1"]) == pytest.approx(float(expected["probability_1"]), rel=1e-4)


def test_stage_2_predicts_when_its_stage_1_has_gone(here, tiny, stage1, photos):
    cli.main(tiny("fit", "RetrainModule", f"--model.checkpoint={stage1}", "--trainer.max_epochs=1"))
    checkpoint = here / "moved.ckpt"
    (found,) = here.rglob("last.ckpt")
    contents = torch.load(found, weights_only=True)
    contents["hyper_parameters"]["checkpoint"] = "gone.ckpt"
    torch.save(contents, checkpoint)
    options = (f"--data.root={photos[0]}", "--data.num_workers=0")
    main(["predict", f"--ckpt_path={checkpoint}", "--data=PredictFolder", *options, *ON_CPU])
    (path,) = here.rglob("predictions.csv")
    assert len(rows_of(path)) == 12


def test_the_configuration_of_a_run_serves_as_well(here, stage1, photos):
    config = stage1.parents[1] / "config.yaml"
    options = (f"--ckpt_path={stage1}", "--data=PredictFolder", f"--data.root={photos[0]}", "--data.num_workers=0")
    main(["predict", "-c", str(config), *options, "--output=photos.csv"])
    assert len(rows_of(here / "photos.csv")) == 12


def test_a_temperature_is_fitted_here_and_used_there(here, stage1, photos, capsys):
    main(["predict", f"--ckpt_path={stage1}", "--data=DigitsLT", "--temperature=auto", "--output=auto.csv", *ON_CPU])
    number = re.search(r"temperature (\S+), fitted on 200 validation images", capsys.readouterr().out)[1]
    folder = ("--data=PredictFolder", f"--data.root={photos[0]}", "--data.num_workers=0")
    main(["predict", f"--ckpt_path={stage1}", *folder, f"--temperature={number}", "--output=photos.csv", *ON_CPU])
    for row, expected in zip(rows_of(here / "photos.csv"), rows_of(here / "auto.csv"), strict=False):
        assert float(row["probability_1"]) == pytest.approx(float(expected["probability_1"]), rel=2e-3)


def test_unreadable_images_end_the_run_or_are_left_out(here, stage1, photos, capsys):
    folder, _ = photos
    (folder / "03.png").write_bytes(b"no image")
    arguments = ["predict", f"--ckpt_path={stage1}", "--data=PredictFolder", f"--data.root={folder}", *ON_CPU]
    with pytest.raises(SystemExit):  # read by a worker process, whose sentence arrives alone
        cli.main([*arguments, "--data.num_workers=1"])
    error = capsys.readouterr().err
    assert error.startswith(f"lt-lightning: error: The image {folder}/03.png cannot be read (")
    assert not list(here.rglob("*predictions.csv"))
    main([*arguments, "--data.num_workers=0", "--data.skip_unreadable=true"])
    assert "1 of 12 images could not be read and were left out: 03.png" in capsys.readouterr().out
    (path,) = here.rglob("predictions.csv")
    assert "03.png" not in [row["path"] for row in rows_of(path)]


def test_a_model_made_in_python_cannot_be_guessed(here, stage1):
    contents = torch.load(stage1, weights_only=True)
    del contents["hyper_parameters"]["_class_path"]
    torch.save(contents, here / "python.ckpt")
    with pytest.raises(UsageError, match=r"`ckpt_path` 'python.ckpt' holds a model that was made in Python"):
        main(["predict", "--ckpt_path=python.ckpt", "--data=DigitsLT"])


def test_a_missing_checkpoint_is_named():
    with pytest.raises(UsageError, match=r"`ckpt_path` 'gone.ckpt' is not a file"):
        main(["predict", "--ckpt_path=gone.ckpt", "--data=DigitsLT"])


def test_a_word_that_no_checkpoint_stands_for_is_one_sentence(here, tiny):
    with pytest.raises(UsageError, match="not configured to save the best"):
        main(tiny("predict", "RepresentationModule", "--ckpt_path=best"))


def test_what_was_typed_is_left_alone(stage1):
    typed = ["predict", "--ckpt_path", str(stage1), "--model=RepresentationModule", "--data", "DigitsLT"]
    assert complete(typed) == typed
    assert complete(["predict", "-c", "config.yaml"]) == ["predict", "-c", "config.yaml"]
    folder = ["predict", "--ckpt_path", str(stage1), "--model=M", "--data=PredictFolder", "--data.checkpoint=other"]
    assert complete(folder) == folder
    added = complete(["predict", f"--ckpt_path={stage1}", "--data=lt_lightning.data.PredictFolder"])[-2:]
    model = json.loads(added[0].removeprefix("--model="))
    assert model["class_path"].endswith("RepresentationModule")
    assert "class_counts" not in model["init_args"]
    assert added[1] == f"--data.checkpoint={stage1}"


def test_a_folder_needs_no_class_and_the_checkpoint_may_be_called_as_elsewhere(here, stage1, photos):
    folder, _ = photos
    options = [f"--data.root={folder}", "--data.num_workers=0", "--output=found.csv", *ON_CPU]
    cli.main(["predict", "--checkpoint", str(stage1), *options])
    assert len(rows_of(here / "found.csv")) == 12
    assert complete(["predict", "--data.root=x", "-c", "mine.yaml"]) == ["predict", "--data.root=x", "-c", "mine.yaml"]


def test_an_output_that_exists_is_refused_before_any_image_is_listed(here, stage1, photos, monkeypatch):
    folder, _ = photos
    (here / "found.csv").write_text("mine")
    monkeypatch.setattr(PredictFolder, "load", lambda *_: pytest.fail("images were listed"))
    options = [f"--data.root={folder}", "--data.num_workers=0", "--output=found.csv", *ON_CPU]
    with pytest.raises(UsageError, match=r"`output` 'found.csv' already exists and will not be overwritten"):
        main(["predict", f"--ckpt_path={stage1}", *options])
    assert (here / "found.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--output", ""], "`output` must name a file, but got ''; give one, such as predictions.csv"),
        (["--output=out/"], "`output` must name a file, but got 'out/'; give one, such as predictions.csv"),
        (["--output=out.parquet"], "`output` 'out.parquet' ends in .parquet, but `format` is csv"),
    ],
)
def test_an_output_of_no_use_is_refused_as_such_even_if_it_exists(here, stage1, monkeypatch, options, sentence):
    (here / "out").mkdir()
    (here / "out.parquet").touch()
    monkeypatch.setattr(DigitsLT, "load", lambda *_: pytest.fail("images were listed"))
    with pytest.raises(UsageError, match=re.escape(sentence)):
        main(["predict", f"--ckpt_path={stage1}", "--data=DigitsLT", *options, *ON_CPU])


def test_predictions_that_are_written_are_named_though_nothing_can_be_printed(here, stage1):
    sentence = r"^No space left on device; make room there\. The predictions are in `mine\.csv`\.$"
    with pytest.raises(UsageError, match=sentence), output_without_room():
        main(["predict", f"--ckpt_path={stage1}", "--data=DigitsLT", "--output=mine.csv", *ON_CPU])
    assert len(rows_of(here / "mine.csv")) == 500


class Full(Callback):
    """A GPU without room."""

    def on_predict_batch_start(self, *_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_memory_that_is_short_is_one_sentence(here, stage1):
    sentence = r"^The GPU's memory is short; take a smaller `data\.eval_batch_size`, or ask for more\. No "
    words = ["predict", f"--ckpt_path={stage1}", "--data=DigitsLT", "--output=mine.csv", *ON_CPU]
    with pytest.raises(UsageError, match=sentence):
        main([*words, f"--trainer.callbacks+={__name__}.Full"])
    assert not list(here.rglob("*.csv"))
