"""One extraction serves all methods, and nothing begins that has no room."""

import shutil
from dataclasses import replace

import pytest

from lt_lightning.comparing import extraction
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, memory

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)


@pytest.fixture
def asked(monkeypatch):
    """What was extracted: splits, views and numbers of images, in order."""
    found, original = [], extraction.extract

    def extract(backbone, data, split, views, seed, options):
        features = original(backbone, data, split, views, seed, options)
        found.append((split, views, len(features)))
        return features

    monkeypatch.setattr(extraction, "extract", extract)
    return found


def test_the_most_views_of_any_method_serve_all(run, asked, capsys):
    found = run("lws,crt,tau_norm", views="published", grid={"lr": [0.1]}, oracle=True)
    number = sum(found.data.class_counts)
    assert asked == [("train", 10, number), ("train", 1, number), ("val", 1, 40), ("test", 1, 80), ("train", 1, 160)]
    passes = 11 * number + 280
    assert f"features: {passes:,} images pass through the backbone, {passes * 32 / 1000:.1f} kB of memory" in (
        capsys.readouterr().out
    )
    assert found.features["shown"].values.shape[0] == 10


def test_one_view_is_extracted_once(run, asked):
    found = run("lort", {"lr": [0.1]}, views=1)
    assert [split for split, *_ in asked] == ["train", "val", "test"]
    assert found.features["shown"] is found.features["train"]


def test_views_are_drawn_from_the_first_seed(run):
    found = run("lort", {"lr": [0.1]}, views=2, seeds=(3, 1))
    assert found.features["shown"].record["seed"] == 3


def test_images_put_back_are_extracted_before_training(run, make_data, asked):
    data = make_data(val_from="train")
    run("lort", {"lr": [0.1]}, data=data, unseen=True, views=2)
    whole = sum(make_data(val_from="none").class_counts)
    assert asked[-2:] == [("train", 2, whole), ("train", 1, whole)]


def test_all_views_are_refused_where_memory_is_short(run, make_data, monkeypatch, asked, tmp_path):
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000)
    with pytest.raises(UsageError, match=r"kB for up to 162 views of \d+ images × 8 are more than the 100.0 kB"):
        run("lort", views="all")
    assert asked == []
    options = ExtractionOptions(progress=False, device="cpu", cache=str(tmp_path / "cache"))
    found = run("lort", {"lr": [0.1]}, views="all", features=options, data=make_data(crop_padding=1))
    assert len(found.features["shown"].values) == 18


def test_features_that_fill_the_disk_together_are_refused_before_the_first(run, monkeypatch, asked, tmp_path):
    options = ExtractionOptions(progress=False, device="cpu", cache=str(tmp_path / "cache"))
    found = run("lort", {"lr": [0.1]}, views=2, features=options)
    sizes = [32 * (len(values.targets) * len(values.values)) for values in found.features.values()]
    usage = shutil.disk_usage(tmp_path)._replace(free=sum(sizes) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    asked.clear()
    run("lort", {"lr": [0.1]}, views=2, features=options)  # all are there
    assert len(asked) == len(sizes)
    asked.clear()
    with pytest.raises(UsageError, match=r"elsewhere' needs .* views of images, but has .* free; make room"):
        run("lort", {"lr": [0.1]}, views=2, features=replace(options, cache=str(tmp_path / "elsewhere")))
    assert asked == []
