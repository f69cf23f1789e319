"""A classifier on a frozen backbone's features."""

import shutil
from dataclasses import replace
from itertools import count

import pytest
import torch
from callers_modes import MODES

from lt_lightning.backbones import SmallCNN
from lt_lightning.data import DigitsLT, ImageFolderLT
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, extract, memory
from lt_lightning.functional.logistic_regression import fit_logistic_regression
from lt_lightning.probing import PENALTIES, probe

OPTIONS = ExtractionOptions(progress=False, device="cpu", channels_last=False)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return SmallCNN(8)


@pytest.fixture(scope="module")
def found(backbone):
    return probe(backbone, DigitsLT(), options=OPTIONS)


def by_hand(head, backbone, split):
    """Accuracy per class, mean over classes, of a head on a backbone."""
    features = extract(backbone, DigitsLT(), split, options=OPTIONS)
    said = head.predict(features.values[0]).argmax(dim=1)
    return torch.stack([(said == k)[features.targets == k].double().mean() for k in range(10)]).mean().item()


def test_random_features_tell_digits_apart(found):
    assert found.evaluation["test"]["accuracy"]["all"] > 0.3


def test_figures_are_the_heads(found, backbone):
    for split in ("val", "test"):
        accuracy = by_hand(found.head, backbone, split)
        assert found.evaluation[split]["accuracy"]["all"] == pytest.approx(accuracy, abs=1e-6)
        assert found.evaluation[split]["epoch"] == 0
    assert len(found.evaluation["test"]["per_class"]["weight_norm"]) == 10


@pytest.mark.parametrize("callers", MODES)
def test_the_callers_mode_changes_nothing(found, backbone, callers):
    before = torch.get_rng_state()
    with callers():
        again = probe(backbone, DigitsLT(), options=OPTIONS)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.tried == found.tried
    torch.testing.assert_close(again.head.weight, found.head.weight)
    again.head(torch.ones(1, 8)).sum().backward()


def test_the_penalty_is_the_best_on_validation_images(found, backbone):
    assert tuple(each.l2 for each in found.tried) == PENALTIES
    assert found.chosen.score == max(each.score for each in found.tried)
    assert found.chosen.score == pytest.approx(by_hand(found.head, backbone, "val"), abs=1e-6)
    features = extract(backbone, DigitsLT(), "train", options=OPTIONS)
    fit = fit_logistic_regression(features.values[0], features.targets, 10, found.chosen.l2)
    expected = features.values[0] @ fit.weight.t() + fit.bias
    torch.testing.assert_close(found.head.predict(features.values[0]), expected, rtol=0, atol=0.2)


@pytest.mark.parametrize(
    ("penalties", "expected"), [((1e6, 1e5, 1e4), "largest"), ((1e6, 0.1, 1e5), "smallest"), ((1e6, 0.1), None)]
)
def test_a_choice_at_the_edge_is_said(backbone, penalties, expected):
    found = probe(backbone, DigitsLT(), penalties, OPTIONS)
    assert found.at_edge == expected
    assert [each.l2 for each in found.tried] == sorted(penalties, reverse=True)


def test_a_file_is_told_of_a_fit_before_it_ends(backbone, monkeypatch, capsys):
    clock = count(step=20)
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    probe(backbone, DigitsLT(), (1.0, 0.1), replace(OPTIONS, progress=True))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fitting")]
    assert lines[0] == "fitting 2 penalties: 0 of 2, about 66.3 minutes left"  # passes of 20 s
    assert lines[-1].startswith("fitting 2 penalties: 1 of 2, about ")


def test_features_that_have_no_room_together_are_refused_before_the_first(backbone, monkeypatch, capsys):
    sizes = {name: 4 * 8 * len(DigitsLT().split(name)) for name in ("train", "val", "test")}
    monkeypatch.setattr(memory, "available_memory", lambda: max(sizes.values()) + 1)
    with pytest.raises(UsageError, match=r"`features.cache` is empty"):
        probe(backbone, DigitsLT(), (0.1,), OPTIONS)
    assert "features of train" not in capsys.readouterr().out


def test_features_that_fill_the_disk_together_are_refused_before_the_first(backbone, monkeypatch, tmp_path, capsys):
    size = 4 * 8 * sum(len(DigitsLT().split(name)) for name in ("train", "val", "test"))
    usage = shutil.disk_usage(tmp_path)._replace(free=size - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UsageError, match=r"`cache` '.*kept' needs .* free; make room"):
        probe(backbone, DigitsLT(), (0.1,), replace(OPTIONS, cache=str(tmp_path / "kept")))
    assert "features of train" not in capsys.readouterr().out


def test_the_backbone_stays_as_it_was(backbone):
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    probe(backbone, DigitsLT(), (0.1,), OPTIONS)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_nothing_depends_on_a_seed(found, backbone):
    torch.manual_seed(7)
    again = probe(backbone, DigitsLT(), options=OPTIONS)
    assert torch.equal(again.head.weight, found.head.weight)
    assert again.chosen == found.chosen


def test_without_validation_images_there_is_no_choice(folder_root):
    torch.manual_seed(0)
    data = ImageFolderLT(root=str(folder_root), image_size=32, resize=32, val_from="none")
    assert not data.has_validation
    backbone = SmallCNN(8, in_channels=3)
    with pytest.raises(UsageError, match=r"`l2` cannot be chosen, for there are no validation images; .* one number"):
        probe(backbone, data, options=OPTIONS)
    found = probe(backbone, data, (0.1,), OPTIONS)
    assert found.chosen.score != found.chosen.score
    assert set(found.evaluation) == {"test"}


def test_test_images_without_labels_are_refused_before_the_first_pass(backbone, capsys):
    data = DigitsLT()
    data.split("test").targets[:3] = -1
    with pytest.raises(UsageError, match="`DigitsLT` has test images of which no class is known, 3 in all"):
        probe(backbone, data, (0.1,), OPTIONS)
    assert "features of train" not in capsys.readouterr().out


def test_a_backbone_says_how_long_its_features_are():
    backbone = SmallCNN(8)
    del backbone.num_features
    with pytest.raises(UsageError, match=r"`model.backbone` SmallCNN must set `num_features`"):
        probe(backbone, DigitsLT())
