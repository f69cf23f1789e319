"""Heads of many settings and seeds."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from lt_lightning.comparing import training
from lt_lightning.comparing.grid import points
from lt_lightning.comparing.methods import find_methods
from lt_lightning.comparing.settings import SettingsParser
from lt_lightning.comparing.training import ShownRows, Stage1, make_head, train, whole_features
from lt_lightning.devices.random_state import RandomState
from lt_lightning.features import Features
from lt_lightning.heads import NCMHead
from lt_lightning.samplers import ProgressiveSampler

PARSER = SettingsParser()
CPU = torch.device("cpu")
COUNTS = [12, 5, 3]
TARGETS = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))
VALUES = torch.randn(2, 20, 4, generator=torch.Generator().manual_seed(0))


def trained(methods, grid, seeds):
    features = Features(VALUES, TARGETS, views=2)
    chosen = points(find_methods(methods, COUNTS, PARSER), grid, PARSER, default=False)
    every = [point for tried in chosen.values() for point in tried]
    stage1 = Stage1(torch.zeros(3, 4), None)
    return train(every, seeds, features, Features(VALUES[:1], TARGETS), stage1, COUNTS, PARSER, CPU)


def test_order_seeds_and_time():
    found = trained("lort,tau_norm,crt,focal", {"lr": [0.1, 1.0]}, [3, 4])
    assert [(head.point.method.name, head.seed) for head in found] == [
        *(("lort", seed) for seed in (3, 4, 3, 4)),
        ("tau_norm", 3),
        *(("crt", seed) for seed in (3, 4, 3, 4)),
        *(("focal", seed) for seed in (3, 4, 3, 4)),
    ]
    assert [head.epochs for head in found[3:6]] == [20, 0, 10]
    assert all((head.seconds > 0) == (head.epochs > 0) for head in found)
    assert not any(head.head.training for head in found)


def test_a_seed_gives_the_same_head_in_any_company():
    (alone,) = trained("crt", {"lr": [0.1]}, [4])
    among = trained("lort,crt", {"lr": [1.0, 0.1]}, [3, 4])[-1]
    torch.testing.assert_close(alone.head.weight, among.head.weight)
    assert among.point.values == {"lr": 0.1}


def test_first_weights_are_those_of_the_seed():
    first, second, again = (trained("crt", {"lr": [0.0]}, [seed])[0].head.weight for seed in (3, 4, 3))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_heads_made_from_features_share_them(monkeypatch):
    given = []
    monkeypatch.setattr(NCMHead, "init_from_features", lambda _, features, targets: given.append((features, targets)))
    trained("ncm", {"metric": ["cosine", "euclidean"], "centre": [False, True]}, [0])
    assert len(given) == 4
    assert {features.data_ptr() for features, _ in given} == {VALUES.data_ptr()}
    assert all(torch.equal(features, VALUES[0]) and torch.equal(targets, TARGETS) for features, targets in given)


def test_stored_features_are_raised_as_a_whole_for_heads_of_ones_own_alone():
    class Own(NCMHead):
        def init_from_features(self, features, targets):
            given.append(features)
            super().init_from_features(features, targets)

    given, means = [], []
    features = Features(VALUES[:1].half(), TARGETS)
    (point,) = points(find_methods("ncm", COUNTS, PARSER), {}, PARSER, default=False)["ncm"]
    for kind in (NCMHead, Own):
        settings = replace(PARSER.make(point.method.plain, "ncm"), head=kind)
        plain = partial(whole_features, features, CPU)
        head, _ = make_head(settings, RandomState(0, CPU), Stage1(torch.zeros(3, 4), None), COUNTS, plain, CPU)
        means.append(head.means)
    assert [each.dtype for each in given] == [torch.float32]
    assert torch.equal(*means)
    assert whole_features(features, CPU)[0].data_ptr() == features.values.data_ptr()  # not copied, nor read


def test_a_loss_of_ones_own_trains_along(tmp_path, monkeypatch):
    (tmp_path / "own_temperature.py").write_text(
        "import torch\n"
        "from lt_lightning.losses import Loss\n"
        "class Temperature(Loss):\n"
        "    def __init__(self, class_counts: list[int]) -> None:\n"
        "        super().__init__(class_counts)\n"
        "        self.scale = torch.nn.Parameter(torch.ones(()))\n"
        "    def forward(self, logits, targets, features=None):\n"
        "        return torch.nn.functional.cross_entropy(self.scale * logits, targets)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = trained("own_temperature.Temperature", {"lr": [0.1]}, [0])
    assert found.loss.scale.item() > 1.01  # the images can be told apart, the better the longer


def test_what_parts_of_ones_own_draw_is_the_seeds_and_depends_on_nobody_else(tmp_path, monkeypatch):
    (tmp_path / "own_draws.py").write_text(
        "import torch\n"
        "from lt_lightning.heads import LinearHead\n"
        "class Drop(LinearHead):\n"
        "    def __init__(self, in_features: int, class_counts: list[int]) -> None:\n"
        "        super().__init__(in_features, class_counts)\n"
        "        self.drop = torch.nn.Dropout(0.5)\n"
        "    def forward(self, features):\n"
        "        return super().forward(self.drop(features))\n"
        "class Sampled(LinearHead):\n"
        "    needs_features = True\n"
        "    def init_from_features(self, features, targets):\n"
        "        self.weight.data.copy_(features[torch.randperm(len(features))[:3]])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ["own_draws.Drop", "own_draws.Sampled"]
    for own, company in (names, reversed(names)):
        alone, other, beside = (
            trained(methods, {"lr": [0.1]}, [seed])[-1].head.weight.tolist()
            for methods, seed in ((own, 3), (own, 4), (f"{company},{own}", 3))
        )
        assert alone == beside != other


def test_an_error_in_a_part_of_ones_own_names_the_method(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_failure.py").write_text(
        "from lt_lightning.heads import LinearHead\n"
        "class Late(LinearHead):\n"
        "    def project_(self):\n"
        "        raise KeyError('scale')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyError, match="scale") as error:
        trained("lort,own_failure.Late", {"lr": [0.1]}, [0])
    assert "in method 'Late'" in ("".join(getattr(error.value, "__notes__", [])) or capsys.readouterr().err)


def test_means_are_of_images_without_augmentation():
    (ncm,) = trained("ncm", {}, [0])
    unit = torch.nn.functional.normalize(VALUES[0], dim=1)
    expected = torch.stack([unit[label == TARGETS].mean(dim=0) for label in range(3)])
    cosines = torch.nn.functional.cosine_similarity(ncm.head.means, expected)
    torch.testing.assert_close(cosines, torch.ones(3))


def test_rows_are_those_of_the_epochs_view():
    rows = ShownRows(Features(VALUES.half(), TARGETS, views=2), CPU)
    for epoch in (0, 1, 2):
        found, classes = rows.take(torch.tensor([5, 13]), epoch)
        torch.testing.assert_close(found, VALUES[epoch % 2, [5, 13]].half().float())
        assert classes.tolist() == [0, 1]


def test_divergence_is_seen():
    found = trained("lort", {"lr": [float("inf"), 0.1]}, [0])
    assert [head.diverged for head in found] == [True, False]
    (ncm,) = trained("ncm", {}, [0])
    assert not ncm.diverged
    ncm.head.means[0, 0] = torch.nan  # a buffer, which nothing has trained
    assert ncm.diverged


def test_seeds_of_heads_do_not_reach_the_callers_draws():
    states = []
    for seed in (4, 5):
        torch.manual_seed(0)
        trained("crt", {"lr": [0.1]}, [seed])
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_runs_share_batches_with_those_of_the_same_sampler_seed_and_length_alone(tmp_path, monkeypatch):
    runs = []
    monkeypatch.setattr(training, "train_heads", lambda found, *_: runs.extend(found))
    for name, sampler in (("plain", "InstanceSampler"), ("progressive", "ProgressiveSampler")):
        for epochs in (3, 5):
            (tmp_path / f"{name}_{epochs}.yaml").write_text(f"sampler: {sampler}\nepochs: {epochs}\n")
    found = trained([str(path) for path in sorted(tmp_path.iterdir())], {"lr": [0.1, 1.0]}, [3, 4])
    assert len(runs) == 16
    assert [run.sampler.seed for run in runs] == [head.seed for head in found] == [3, 4] * 8
    assert len({id(run.sampler) for run in runs}) == 8
    for run in runs:
        if isinstance(run.sampler, ProgressiveSampler):
            assert run.sampler.epochs == run.epochs
    assert sum(isinstance(run.sampler, ProgressiveSampler) for run in runs) == 8
