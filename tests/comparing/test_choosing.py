"""Which settings are chosen, and a warning where stage 1 has learnt what is to choose them."""

import pytest
import torch

from lt_lightning.comparing import Options, choosing
from lt_lightning.comparing.choosing import check_memorised
from lt_lightning.comparing.setup import Setup
from lt_lightning.features import Features

pytestmark = pytest.mark.filterwarnings("ignore:No method is better:UserWarning")


def features_of(rows, targets):
    return Features(rows.unsqueeze(0), targets)


def test_memorised_images_are_those_that_stage_1_knows_as_well(foreign, make_data):
    from lt_lightning.backbones import SmallCNN

    data = make_data()
    setup = Setup(str(foreign), SmallCNN(8, in_channels=3), data, "tau_norm", {}, Options(oracle=False))
    layer = setup.source.classifier
    rows = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    said = (rows @ layer.weight.T + layer.bias).argmax(dim=1)
    wrong = (said + 1) % 10
    with pytest.warns(
        UserWarning, match=r"no worse on validation images \(100.0 %\) than on training images \(0.0 %\)"
    ):
        check_memorised(setup, {"val": features_of(rows, said), "train": features_of(rows, wrong)})
    assert len(setup.warnings) == 1
    check_memorised(setup, {"val": features_of(rows, wrong), "train": features_of(rows, said)})
    check_memorised(setup, {"train": features_of(rows, said)})
    assert len(setup.warnings) == 1


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_scores_are_accuracies_on_validation_images(run, monkeypatch):
    asked = []
    original = choosing.count_correct

    def count(heads, features, device):
        asked.append((len(heads), len(features)))
        return original(heads, features, device)

    monkeypatch.setattr(choosing, "count_correct", count)
    found = run("lort,tau_norm", {"lr": [0.01, 0.1]}, seeds=(0, 1))
    # Stage 1 on both sets of images, itself, and all heads of all settings in one pass.
    assert [number for number, _ in asked] == [1, 1, 1, 2 * 2 + 1]
    best = max(found.row("lort").tried, key=lambda tried: tried.mean)
    assert found.row("lort").point.values == best.values


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_what_diverges_when_it_is_trained_once_more_has_no_figures(run, make_data, monkeypatch):
    original, calls = choosing.train, []

    def train(points, *arguments):
        heads = original(points, *arguments)
        calls.append(len(heads))
        for head in heads:
            if len(calls) == 2 and head.point.method.name == "lort":
                head.head.weight.data.fill_(torch.nan)
        return heads

    monkeypatch.setattr(choosing, "train", train)
    with pytest.warns(UserWarning, match="Training of lort diverged on all training images"):
        found = run("lort,tau_norm", {"lr": [0.01]}, data=make_data(val_from="train"), unseen=True)
    assert calls == [2, 2]
    assert (found.row("lort").heads, found.row("lort").tests) == ([], [])
    assert found.winner is found.row("tau_norm")
