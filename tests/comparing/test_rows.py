"""Which settings are chosen, and what diverges once they are."""

import gc
import itertools
import re
from dataclasses import replace
from weakref import ref

import pytest
import torch

from lt_lightning.comparing import checks, evaluation, kept_heads, rows
from lt_lightning.features import ExtractionOptions
from tests.comparing.conftest import QUIET

pytestmark = pytest.mark.filterwarnings("ignore:No method is better:UserWarning")


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_scores_are_accuracies_on_validation_images(run, monkeypatch):
    asked = []
    original = evaluation.count_correct

    def count(heads, features, device):
        asked.append((len(heads), len(features)))
        return original(heads, features, device)

    for module in (evaluation, checks):
        monkeypatch.setattr(module, "count_correct", count)
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
        found = run("lort,ncm", {"lr": [0.01]}, data=make_data(val_from="train"), unseen=True)
    assert calls == [2, 2]
    assert (found.row("lort").heads, found.row("lort").tests) == ([], [])
    assert found.winner is found.row("ncm")


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_heads_train_on_the_views_shown_and_are_made_from_plain_features(run, make_data, monkeypatch):
    original, given, seconds = rows.train, [], []

    def train(points, seeds, shown, plain, *rest):
        given.append((shown, plain))
        heads = original(points, seeds, shown, plain, *rest)
        seconds.extend(head.seconds for head in heads)
        return heads

    monkeypatch.setattr(rows, "train", train)
    found = run("lort", {"lr": [0.1]}, data=make_data(val_from="train"), unseen=True, views=2)
    names = {id(features): name for name, features in found.features.items()}
    assert [tuple(names[id(features)] for features in both) for both in given] == [
        ("shown", "train"),
        ("whole_shown", "whole"),
    ]
    assert found.row("lort").seconds == pytest.approx(sum(seconds))  # of both trainings


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_temperatures_are_fitted_to_heads_that_have_not_seen_the_images(run, make_data, monkeypatch):
    original, asked = rows.fit_to_validation, []

    def fit(setup, trained, features):
        asked.append(trained)
        return original(setup, trained, features)

    monkeypatch.setattr(rows, "fit_to_validation", fit)
    found = run("lort,tau_norm", {"lr": [0.1]}, data=make_data(val_from="train"), unseen=True)
    assert [trained.point.method.name for trained in asked] == ["stage 1", "lort", "tau_norm"]
    assert all(trained.head.class_counts == found.data.class_counts for trained in asked)
    assert found.row("lort").heads[0].head.class_counts == found.trained_on.class_counts


@pytest.mark.filterwarnings("ignore:Nothing is selected:UserWarning")
def test_what_diverges_with_its_own_settings_has_no_figures(run, make_data, tmp_path):
    (tmp_path / "wild.yaml").write_text("epochs: 2\noptimizer: {init_args: {lr: 1.0e+39}}\n")
    with pytest.warns(UserWarning, match="Training of wild diverged with every setting"):
        row = run(str(tmp_path / "wild.yaml"), data=make_data(val_from="none")).row("wild")
    assert (row.heads, row.tests) == ([], [])


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
@pytest.mark.parametrize(("step", "told"), [(20, True), (1e-3, False)])
def test_a_file_is_told_of_a_long_training_within_its_first_epoch(run, monkeypatch, capsys, step, told):
    clock = itertools.count(step=step)
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    run("lort,ncm", {"lr": [0.01, 0.1]}, features=replace(ExtractionOptions(**QUIET), progress=True))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epochs of")]
    assert bool(lines) == told
    assert not told or re.fullmatch(r"epochs of 3 settings: \d+ of \d+, about [\d.]+ \w+ left", lines[0])


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_what_trains_nothing_is_not_said_to_diverge_in_training(run):
    with pytest.warns(UserWarning, match=r"Logits of tau_norm are not finite with any setting; .* `grid`\.") as said:
        found = run("tau_norm,ncm", {"tau": [400.0]})  # norms to this power round to 0
    assert not any("grid.lr" in str(warning.message) for warning in said)
    assert (found.row("tau_norm").heads, found.row("tau_norm").tests) == ([], [])


@pytest.mark.filterwarnings("ignore:Nothing is selected:UserWarning")
def test_a_method_that_diverges_with_one_seed_has_no_figures(run, make_data, monkeypatch):
    original = rows.train

    def train(*arguments):
        heads = original(*arguments)
        heads[1].head.weight.data.fill_(torch.nan)
        return heads

    monkeypatch.setattr(rows, "train", train)
    with pytest.warns(UserWarning, match="Training of lort diverged with every setting"):
        row = run("lort", data=make_data(val_from="none"), seeds=(0, 1)).row("lort")
    assert (row.heads, row.tests) == ([], [])


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_methods_that_memory_cannot_keep_together_train_after_one_another(run, monkeypatch):
    methods, grid = "lort,linear,tau_norm", {"lr": [0.01, 0.1], "tau": [0.5, 1.0]}
    together = run(methods, grid, seeds=(0, 1))
    original, alive = rows.train, []

    def train(points, *arguments):
        heads = original(points, *arguments)
        alive.append([ref(head) for head in heads])
        return heads

    monkeypatch.setattr(rows, "train", train)
    monkeypatch.setattr(kept_heads, "KEPT_BYTES", 10 * 8 * 4 * 8)  # two methods of two settings and two seeds
    apart = run(methods, grid, seeds=(0, 1))
    assert [len(heads) for heads in alive] == [8, 2]
    gc.collect()
    assert [sum(head() is not None for head in heads) for heads in alive] == [4, 1]  # those of the settings chosen
    for row, other in zip(together.rows, apart.rows, strict=True):
        assert (row.point and row.point.values, row.tried) == (other.point and other.point.values, other.tried)
        for head, twin in zip(row.heads, other.heads, strict=True):
            torch.testing.assert_close(head.head.state_dict(), twin.head.state_dict())


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse:UserWarning")
def test_heads_trained_once_more_take_the_room_of_those_before(run, make_data, monkeypatch):
    options = {"grid": {"lr": [0.1]}, "seeds": (0, 1), "unseen": True}
    together = run("lort,linear,ncm", data=make_data(val_from="train"), **options)
    original, made, alive = rows.train, [], []

    def train(points, *arguments):
        gc.collect()
        alive.append(sum(head() is not None for head in made))
        heads = original(points, *arguments)
        made.extend(ref(head) for head in heads)
        return heads

    monkeypatch.setattr(rows, "train", train)
    monkeypatch.setattr(kept_heads, "KEPT_BYTES", 10 * 8 * 4 * 2)  # both seeds of a method
    apart = run("lort,linear,ncm", data=make_data(val_from="train"), **options)
    # The methods have two heads, two and one; then each time all but those that are trained once more.
    assert alive == [0, 2, 4, 3, 3, 4]
    for row, other in zip(together.rows, apart.rows, strict=True):
        for head, twin in zip(row.heads, other.heads, strict=True):
            torch.testing.assert_close(head.head.state_dict(), twin.head.state_dict())
            assert head.temperature == pytest.approx(twin.temperature, rel=1e-4)
