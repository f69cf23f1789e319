"""Which settings are chosen, and what diverges once they are."""

import pytest
import torch

from lt_lightning.comparing import checks, rows

pytestmark = pytest.mark.filterwarnings("ignore:No method is better:UserWarning")


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_scores_are_accuracies_on_validation_images(run, monkeypatch):
    asked = []
    original = rows.count_correct

    def count(heads, features, device):
        asked.append((len(heads), len(features)))
        return original(heads, features, device)

    monkeypatch.setattr(rows, "count_correct", count)
    monkeypatch.setattr(checks, "count_correct", count)
    found = run("lort,tau_norm", {"lr": [0.01, 0.1]}, seeds=(0, 1))
    # Stage 1 on both sets of images, itself, and all heads of all settings in one pass.
    assert [number for number, _ in asked] == [1, 1, 1, 2 * 2 + 1]
    best = max(found.row("lort").tried, key=lambda tried: tried.mean)
    assert found.row("lort").point.values == best.values


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_what_diverges_when_it_is_trained_once_more_has_no_figures(run, make_data, monkeypatch):
    original, calls = rows.train, []

    def train(points, *arguments):
        heads = original(points, *arguments)
        calls.append(len(heads))
        for head in heads:
            if len(calls) == 2 and head.point.method.name == "lort":
                head.head.weight.data.fill_(torch.nan)
        return heads

    monkeypatch.setattr(rows, "train", train)
    with pytest.warns(UserWarning, match="Training of lort diverged on all training images"):
        found = run("lort,tau_norm", {"lr": [0.01]}, data=make_data(val_from="train"), unseen=True)
    assert calls == [2, 2]
    assert (found.row("lort").heads, found.row("lort").tests) == ([], [])
    assert found.winner is found.row("tau_norm")
