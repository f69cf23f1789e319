"""Retraining somebody's own module from Python."""

import re
from collections.abc import Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from threading import Lock
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from callers_modes import MODES
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler

import lt_lightning
from lt_lightning import api
from lt_lightning.backbones import ResNet32
from lt_lightning.errors import UsageError
from lt_lightning.foreign import loader_features
from lt_lightning.heads import CosineHead, TauNormHead
from lt_lightning.losses import CrossEntropyLoss, Loss
from lt_lightning.records import read_record

COUNTS = [200, 60, 15, 4]
THRESHOLDS = (8, 20)


@pytest.fixture(scope="module")
def images():
    """Points around four centres, as images of 1 x 4 x 4: more of some classes than of others, and as many of all."""
    generator = torch.Generator().manual_seed(0)
    centres = 0.6 * torch.randn(4, 1, 4, 4, generator=generator)

    def make(counts):
        targets = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
        return TensorDataset(centres[targets] + torch.randn(len(targets), 1, 4, 4, generator=generator), targets)

    return make(COUNTS), make([50] * 4)


@pytest.fixture(scope="module")
def model(images):
    """Trained on the long tail, by somebody."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    inputs, targets = images[0].tensors
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    return net


def accuracy(model, data):
    inputs, targets = data.tensors
    with torch.no_grad():
        right = model.eval()(inputs).argmax(dim=1) == targets
    return [right[targets == label].double().mean().item() for label in range(4)]


def test_three_lines_give_the_module_with_a_better_layer(model, images):
    train, val = images
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    result = lt_lightning.retrain(
        model,
        DataLoader(train, batch_size=32, shuffle=True),
        test_loader=DataLoader(val, batch_size=64),
        method="lort",
        lr=0.01,
        delta=0.5,
        group_thresholds=THRESHOLDS,
    )
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert result.model is not model
    changed = {key for key, value in result.model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"4.weight", "4.bias"}
    assert "BatchNorm1d" not in (shown := repr(result))
    assert "classifier='4'" in shown
    assert list(result.model.state_dict()) == list(before)
    assert (result.classifier, result.class_counts) == ("4", COUNTS)
    assert result.settings["optimizer"]["init_args"]["lr"] == 0.01
    assert result.settings["loss"]["init_args"] == {"delta": 0.5}
    assert result.seconds > 0
    for figures, net in ((result.before, model), (result.after, result.model)):
        classes = accuracy(net, val)
        assert figures["all"] == pytest.approx(sum(classes) / 4)
        assert figures["many"] == pytest.approx(sum(classes[:2]) / 2)
        assert figures["few"] == pytest.approx(classes[3])
    assert result.after["few"] > result.before["few"]
    assert result.after["all"] > result.before["all"]


@pytest.mark.parametrize("method", ["crt", "lws", "tau_norm", "max_norm", "logit_adjustment", "balanced_softmax"])
def test_methods_that_fold_are_put_back(model, images, method):
    train, val = images
    batches = [(train.tensors[0], train.tensors[1])]
    result = lt_lightning.retrain(model, batches, method=method, seed=1)
    assert result.before is result.after is None
    features = model[:4].eval()(val.tensors[0])
    with torch.no_grad():
        torch.testing.assert_close(
            result.model.eval()(val.tensors[0]), result.head.predict(features), rtol=0, atol=1e-5
        )
    again = lt_lightning.retrain(model, batches, method=method, seed=1)
    torch.testing.assert_close(again.model[4].weight, result.model[4].weight, rtol=0, atol=0)
    other = lt_lightning.retrain(model, batches, method=method, seed=2)
    draws_nothing = method in ("tau_norm", "logit_adjustment")
    assert torch.equal(other.model[4].weight, result.model[4].weight) == draws_nothing


@pytest.mark.parametrize("method", ["lort", "ib", "tau_norm"])
@pytest.mark.parametrize("callers", MODES)
def test_the_callers_mode_changes_nothing(model, images, method, callers):
    """The module is the caller's, and runs in that mode and type; all else is done as ever."""
    train, val = ([data.tensors] for data in images)
    plain = lt_lightning.retrain(model, train, val, method=method)
    with callers():
        dtype = torch.get_default_dtype()
        own = deepcopy(model).to(dtype)
        typed = [[(inputs.to(dtype), targets) for inputs, targets in loader] for loader in (train, val)]
        found = lt_lightning.retrain(own, *typed, method=method)
        assert torch.get_default_dtype() == dtype
    assert found.model[4].weight.dtype == dtype
    assert found.head.class_counts == plain.head.class_counts
    assert [tried.values for tried in found.tried] == [tried.values for tried in plain.tried]
    for tried, expected in zip(found.tried, plain.tried, strict=True):
        assert tried.mean == pytest.approx(expected.mean, abs=0.03)  # of features in half precision
    found.model.train()(typed[0][0][0].clone()).sum().backward()
    assert all(parameter.grad is not None for parameter in found.model.parameters())


@pytest.mark.parametrize("method", ["lort", "tau_norm"])
def test_the_callers_random_numbers_are_left_alone(model, images, method):
    """Also by a loader that draws its order from them."""
    shuffled = DataLoader(images[0], batch_size=32, shuffle=True)
    before = torch.get_rng_state()
    lt_lightning.retrain(model, shuffled, [images[1].tensors], method=method)
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_reach_their_parts(model, images):
    batches = [images[0].tensors]
    result = lt_lightning.retrain(model, batches, epochs=1, batch_size=16, delta=0.5, weight_decay=0.1)
    settings = result.settings
    assert (settings["epochs"], settings["batch_size"]) == (1, 16)
    assert settings["loss"]["init_args"]["delta"] == 0.5
    assert settings["optimizer"]["init_args"]["weight_decay"] == 0.1
    assert lt_lightning.retrain(model, batches, method="tau_norm", tau=0.5).head.tau == 0.5


def test_settings_may_be_numbers_of_numpy_and_torch(model, images):
    result = lt_lightning.retrain(
        model, [images[0].tensors], epochs=np.int64(2), batch_size=torch.tensor(16), lr=np.float32(0.25)
    )
    settings = result.settings
    found = (settings["epochs"], settings["batch_size"], settings["optimizer"]["init_args"]["lr"])
    assert found == (2, 16, 0.25)
    assert [type(value) for value in found] == [int, int, float]


def test_settings_are_chosen_by_images_of_their_own(model, images):
    train, select = [images[0].tensors], [images[1].tensors]
    test = [tuple(tensor[::3] for tensor in images[1].tensors)]
    result = lt_lightning.retrain(model, train, test_loader=test, val_loader=select, epochs=5)
    assert len(result.tried) == 8
    best = max(result.tried, key=lambda tried: tried.mean)
    assert result.settings["optimizer"]["init_args"]["lr"] == best.values["lr"]
    assert result.settings["epochs"] == 5
    assert best.mean == pytest.approx(sum(accuracy(result.model, images[1])) / 4)
    alone = lt_lightning.retrain(model, train, test_loader=test, epochs=5, lr=best.values["lr"])
    assert alone.tried == []
    assert alone.after == result.after
    torch.testing.assert_close(alone.model[4].weight, result.model[4].weight)
    assert lt_lightning.retrain(model, train, method="tau_norm", val_loader=select).head.tau in [
        k / 4 for k in range(1, 9)
    ]


def test_a_grid_of_ones_own_is_chosen_from(model, images):
    train, select = [images[0].tensors], [images[1].tensors]
    grid = {"lr": np.array([0.01, 0.05]), "loss": {"gap": (torch.tensor(0.5), 1)}}
    result = lt_lightning.retrain(model, train, select, grid=grid, epochs=3, momentum=0.5)
    points = [{"lr": lr, "loss.gap": gap} for lr in (0.01, 0.05) for gap in (0.5, 1)]
    assert [tried.values for tried in result.tried] == points
    best = max(result.tried, key=lambda tried: tried.mean)
    optimizer, loss = (result.settings[part]["init_args"] for part in ("optimizer", "loss"))
    assert (optimizer["lr"], optimizer["momentum"]) == (best.values["lr"], 0.5)
    assert loss["gap"] == best.values["loss.gap"]
    assert best.mean == pytest.approx(sum(accuracy(result.model, images[1])) / 4)


class Brier(Loss):
    """Of a script: squared distance from the target."""

    def __init__(self, class_counts: list[int], power: float = 2.0) -> None:
        super().__init__(class_counts)
        self.power = power

    def forward(self, logits, targets, features=None):
        away = logits.softmax(dim=1) - nn.functional.one_hot(targets, self.num_classes)
        return self.reduce(away.abs().pow(self.power).sum(dim=1), targets)


@pytest.mark.parametrize("method", [Brier, TauNormHead])
def test_a_class_is_as_good_as_its_import_path(model, images, method):
    batches = [images[0].tensors]
    found = lt_lightning.retrain(model, batches, method=method)
    named = lt_lightning.retrain(model, batches, method=f"{method.__module__}.{method.__qualname__}")
    assert found.settings == named.settings
    torch.testing.assert_close(found.model[4].weight, named.model[4].weight, rtol=0, atol=0)
    assert not torch.equal(found.model[4].weight, model[4].weight)


def test_a_class_that_its_path_does_not_lead_to_is_refused(model, images):
    class Inner(Brier):
        pass

    named = type("Brier", (Brier,), {"__module__": Brier.__module__})  # as one of a notebook's cell that has run again
    for method, path in ((Inner, r".*\.<locals>\.Inner"), (named, r".*\.Brier")):
        with pytest.raises(UsageError, match=rf"`method` is a class that cannot be imported as '{path}'; define it"):
            lt_lightning.retrain(model, [images[0].tensors], method=method)


def test_only_settings_that_can_be_put_back_are_tried(model, images):
    train, select = [images[0].tensors], [images[1].tensors]
    result = lt_lightning.retrain(model, train, select, method="ncm")
    assert [tried.values for tried in result.tried] == [{"metric": "euclidean", "centre": False}]
    assert result.model[4].weight.shape == (4, 12)


def test_a_head_of_ones_own_that_trains_nothing_leaves_nothing_to_choose(model, images, tmp_path, monkeypatch):
    (tmp_path / "own_narrow_tau.py").write_text(
        "from lt_lightning.heads import TauNormHead\n"
        "class Narrow(TauNormHead):\n"
        "    def __init__(self, in_features: int, class_counts: list[int], tau: float = 0.5) -> None:\n"
        "        super().__init__(in_features, class_counts, tau)\n"
        "        if not 0 < tau <= 1:\n"
        "            raise ValueError('tau must lie in (0, 1]')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    train, select = [images[0].tensors], [images[1].tensors]
    for given, expected in (({}, 0.5), ({"tau": 0.3}, 0.3)):
        result = lt_lightning.retrain(model, train, method="own_narrow_tau.Narrow", val_loader=select, **given)
        assert result.head.tau == expected
        assert [tried.values for tried in result.tried] == [{}]


def test_an_error_in_a_loss_of_ones_own_names_the_method(model, images, tmp_path, monkeypatch, capsys):
    (tmp_path / "own_centres.py").write_text(
        "import torch\n"
        "from lt_lightning.losses import Loss\n"
        "class Centres(Loss):\n"
        "    def __init__(self, class_counts: list[int], num_features: int = 64) -> None:\n"
        "        super().__init__(class_counts)\n"
        "        self.centres = torch.nn.Parameter(torch.zeros(len(class_counts), num_features))\n"
        "    def forward(self, logits, targets, features=None):\n"
        "        away = (features - self.centres[targets]).square().mean()\n"
        "        return torch.nn.functional.cross_entropy(logits, targets) + away\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    train = [images[0].tensors]
    assert lt_lightning.retrain(model, train, method="own_centres.Centres", num_features=12, epochs=1).before is None
    with pytest.raises(RuntimeError, match="must match the size") as error:
        lt_lightning.retrain(model, train, method="own_centres.Centres")
    assert "in method 'Centres'" in ("".join(getattr(error.value, "__notes__", [])) or capsys.readouterr().err)


def test_images_that_choose_must_not_have_been_seen(model, images):
    train = [images[0].tensors]
    with pytest.raises(UsageError, match="`val_loader` is `train_loader`; give images that the model has not been"):
        lt_lightning.retrain(model, train, val_loader=train)
    with pytest.warns(
        UserWarning, match="The model is no worse on images of `val_loader` .*: it may have been trained"
    ):
        lt_lightning.retrain(model, train, val_loader=[images[0].tensors], epochs=1)


@pytest.mark.parametrize(
    "values", [{0.03, 0.02, 0.1}, (rate / 100 for rate in (2, 3, 10)), {0.02: 2, 0.03: 3, 0.1: 1}.keys()]
)
def test_values_of_a_grid_may_come_in_any_container(model, images, values):
    result = lt_lightning.retrain(model, [images[0].tensors], [images[1].tensors], grid={"lr": values}, epochs=1)
    assert [tried.values["lr"] for tried in result.tried] == [0.02, 0.03, 0.1]


def test_an_argument_that_is_called_as_the_optimizers_leaves_that_to_choose(model, images, tmp_path, monkeypatch):
    (tmp_path / "own_rate.py").write_text(
        "from lt_lightning.heads import LinearHead\n"
        "class Rated(LinearHead):\n"
        "    def __init__(self, in_features: int, class_counts: list[int], lr: float = 2) -> None:\n"
        "        super().__init__(in_features, class_counts)\n"
        "        self.lr = lr\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    given = {"method": "own_rate.Rated", "head.lr": 3.0, "epochs": 1}
    result = lt_lightning.retrain(model, [images[0].tensors], [images[1].tensors], **given)
    assert result.head.lr == 3
    assert [tuple(tried.values) for tried in result.tried] == [("optimizer.lr",)] * 8


def test_what_is_given_stays_and_the_rest_is_chosen(model, images):
    train, select = [images[0].tensors], [images[1].tensors]
    result = lt_lightning.retrain(model, train, val_loader=select, method="max_norm", threshold=0.2, epochs=1)
    assert {tried.values["threshold"] for tried in result.tried} == {0.2}
    assert len(result.tried) == 8
    result = lt_lightning.retrain(model, train, val_loader=select, method="max_norm", lr=0.003, epochs=1)
    assert [tuple(tried.values.values()) for tried in result.tried] == [(0.003, 0.1), (0.003, 0.4)]


def test_memory_is_judged_on_the_classes_that_the_choosing_images_show(images):
    """A constant prediction knows one class of all, but half of the two that validation images show."""
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    model(images[0].tensors[0][:1])
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    pixels, targets = images[1].tensors
    two = [(pixels[targets < 2], targets[targets < 2])]
    of_both = (
        r"^The model is no worse on images of `val_loader` \(50.0 %\) than on those of `train_loader` \(50.0 %\), mean"
    )
    with pytest.warns(UserWarning, match=of_both + ".*: it calls every image class 0, as networks do that neglect"):
        lt_lightning.retrain(model, [images[0].tensors], val_loader=two, epochs=1)
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    with pytest.warns(
        UserWarning, match=of_both + ".*: as by chance; its weights, the order of its classes or the prep"
    ):
        lt_lightning.retrain(model, [images[0].tensors], val_loader=two, epochs=1)


def test_a_worse_layer_is_said(model, images):
    train, others = [images[0].tensors], [images[1].tensors]
    tight = {"method": "max_norm", "radius": 1e-3, "epochs": 1}  # of which the bias decides
    message = r"`method` 'max_norm' makes the mean accuracy .* `test_loader` worse: .*own settings may not suit"
    with pytest.warns(UserWarning, match=message):
        result = lt_lightning.retrain(model, train, test_loader=others, **tight)
    assert result.after["all"] < result.before["all"] - 0.01
    with pytest.warns(UserWarning, match=r"on the images of `val_loader` worse: .*; try another method\.$"):
        lt_lightning.retrain(model, train, val_loader=others, **tight)


def test_a_loss_of_less_than_a_point_is_not_said():
    api._warn_if_worse("lort", {"all": 0.5}, {"all": 0.495}, "test_loader")  # a warning would be an error
    with pytest.warns(UserWarning, match=r"worse: 48\.0 %, and 50\.0 % with the layer as it was"):
        api._warn_if_worse("lort", {"all": 0.5}, {"all": 0.48}, "test_loader")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lrot"}, r"`method` names 'lrot', which is no method.*did you mean lort"),
        ({"method": "lort,crt"}, r"`method` must be one method, but got 'lort,crt'; choose from .*lort"),
        ({"epsilon": 0.1}, r"^`epsilon` is not a setting of `lort`"),
        ({"method": "nope.yaml"}, r"^`method` 'nope.yaml' is not a file; give the path"),
        ({"epochs": 0}, r"`epochs` must be at least 1, but got 0"),
        ({"epochs": None}, r"^`epochs` must be at least 1, but got None\.$"),
        ({"delta": None}, r"^`method` lort with `delta` None: `loss\.delta` is null, which it cannot be; give a value"),
        ({"delta": 0.5, "loss.delta": 0.7}, r"^`delta` and `loss.delta` are the same setting of `lort`; leave one"),
        ({"delta": 2.0}, r"^`method` lort with `delta` 2.0: `delta` must"),
        ({"lr": "a", "momentum": 0.5}, r"^`method` lort with `lr` 'a' and `momentum` 0.5: .*`lt-lightning fit"),
        (
            {"lr": -1.0},
            r"^`method` lort with `lr` -1.0: The optimizer .* refuses its settings \(Invalid learning rate: -1.0\)",
        ),
        ({"lr": 1e39}, r"Training by `method` 'lort' diverged; give a smaller learning rate by `lr`"),
        (
            {"lr": 0.1, "val_loader": []},
            r"`lr` 0.1 is given, and `val_loader` is to choose it; leave one of them",
        ),
        (
            {"optimizer.lr": 0.1, "val_loader": []},
            r"^`optimizer.lr` 0.1 is given, and `val_loader` is to choose it; leave one of them",
        ),
        ({"classifier": "fc"}, r"`classifier` 'fc' is no part of the model"),
        (
            {"method": "cosine"},
            r"`method` 'cosine' cannot be put back into the model: `CosineHead` equals no plain linear layer.*choose "
            r"from .*crt.*lort.*tau_norm.*, or train it by `lt-lightning fit`",
        ),
    ],
)
def test_bad_settings_are_one_sentence(model, images, options, message):
    with pytest.raises(UsageError, match=message):
        lt_lightning.retrain(model, [images[0].tensors], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": abs}, "`model` must be an nn.Module, but got builtin_function_or_method"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(16, 1))}, "`classifier` '1' has 1 output, so it tells no"),
        ({"method": ["lort", "crt"]}, "`method` must be the name of one method, or the class of .*, but got"),
        ({"method": Sequence}, r"`method` names 'collections\.abc\.Sequence', which is neither a `Head` nor a `Loss`"),
        ({"grid": {"lr": [1e-3]}}, "`grid` is given without `val_loader`, the images that choose among its settings"),
        ({"grid": [1e-3], "val_loader": []}, r"`grid` must be values by key, such as .*, but got \[0\.001\]"),
        ({"grid": {"lr": []}, "val_loader": []}, "`grid.lr` has no value; give some"),
        ({"grid": {"lr": [1, 1.0]}, "val_loader": []}, "`grid.lr` has a value twice: 1, 1.0"),
        ({"grid": {"dleta": [0.5]}, "val_loader": []}, "`grid.dleta` is not a setting of `lort`; did you mean del"),
        (
            {"grid": {"lr": [0.1, -1.0]}, "val_loader": []},
            r"^`method` lort with `grid.lr` -1.0: The optimizer .* refuses its settings",
        ),
        ({"grid": {"loss.delta": [0.5]}, "delta": 0.9, "val_loader": []}, "`delta` 0.9 is given, and `grid` is to cho"),
        ({"grid": {"delta": [0.5]}, "loss.delta": 0.9, "val_loader": []}, "`loss.delta` 0.9 is given, and `grid` is t"),
        (
            {"method": "ncm", "grid": {"metric": ["euclidean", "cosine"]}, "val_loader": []},
            r"^`method` ncm with `grid.metric` 'cosine': This setting cannot be put back .*; leave it out of `grid`\.$",
        ),
        ({"group_thresholds": (20, 8)}, r"`group_thresholds` must be .* but got \(20, 8\)"),
        ({"group_thresholds": (8,)}, r"`group_thresholds` must be \(low, high\)"),
        ({"group_thresholds": 20}, r"`group_thresholds` must be \(low, high\) .* but got 20"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0 and below .*, but got -1"),
        ({"seed": torch.tensor(1.7)}, "`seed` must be a whole number .*, but got tensor"),
        ({"seed": 1.5}, "`seed` must be a whole number .*, but got 1.5"),
        ({"seed": "1"}, "`seed` must be a whole number .*, but got '1'"),
        ({"train_loader": None}, r"`train_loader` must give \(images, targets\) batches, but got NoneType"),
        ({"method": "tau_norm", "epochs": 3}, "`epochs` 3 says nothing to .* trains nothing; leave it out"),
    ],
)
def test_bad_arguments_are_one_sentence(options, message, model, images, monkeypatch):
    monkeypatch.setattr(api, "train", lambda *_: pytest.fail("too late"))
    with pytest.raises(UsageError, match=message):
        lt_lightning.retrain(**{"model": model, "train_loader": DataLoader(images[0], 50), **options})


def test_a_grid_that_only_diverges_asks_for_others(model, images):
    train, select = [images[0].tensors], [images[1].tensors]
    with pytest.raises(UsageError, match="'crt' diverged; no setting served; give others by `grid`, or try another"):
        lt_lightning.retrain(model, train, select, method="crt", grid={"lr": [1e30]}, epochs=2)


def test_a_module_that_cannot_be_copied_is_named_before_anything_trains(model, images, monkeypatch):
    monkeypatch.setattr(api, "train", lambda *_: pytest.fail("too late"))
    locked = nn.Sequential(model)
    locked.lock = Lock()
    with pytest.raises(
        UsageError, match=r"`model` Sequential cannot be copied \(cannot pickle '_thread.lock' object\)"
    ):
        lt_lightning.retrain(locked, DataLoader(images[0], 50))


def test_bad_loaders_are_one_sentence(model, images):
    inputs, targets = images[0].tensors
    pairs, even = [(inputs, targets)], targets % 2 == 0
    with pytest.raises(
        UsageError, match=r"`train_loader` has no image of class 1, 3, and `classifier` '4' has 4 outputs"
    ):
        lt_lightning.retrain(model, [(inputs[even], targets[even])])
    with pytest.raises(UsageError, match=r"`train_loader` has targets from 1 to 4, but `classifier` '4' has 4 outputs"):
        lt_lightning.retrain(model, [(inputs, targets + 1)])
    with pytest.raises(UsageError, match=r"`test_loader` has targets from -1 to 2"):
        lt_lightning.retrain(model, pairs, test_loader=[(inputs, targets - 1)])
    with pytest.raises(UsageError, match=r"`train_loader` can be gone through only once, and it takes twice"):
        lt_lightning.retrain(model, iter(pairs))
    with pytest.raises(UsageError, match=r"`train_loader` has no batches"):
        lt_lightning.retrain(model, [])
    with pytest.raises(UsageError, match=r"`train_loader` makes inputs of `classifier` '4' that are infinite or not a"):
        lt_lightning.retrain(model, [(inputs * torch.inf, targets)])
    broken = [(torch.where(torch.arange(len(inputs))[:, None, None, None] == 7, torch.nan, inputs), targets)]
    for argument in ("val_loader", "test_loader"):
        with pytest.raises(UsageError, match=rf"`{argument}` makes inputs of `classifier` '4' that are infinite or no"):
            lt_lightning.retrain(model, pairs, **{argument: broken})
    with pytest.raises(UsageError, match=r"`train_loader` must give batches .*, but gave a dictionary with 'x'"):
        lt_lightning.retrain(model, [{"x": inputs}])
    with pytest.raises(UsageError, match=r"`model` Sequential makes its logits in no nn.Linear"):
        lt_lightning.retrain(nn.Sequential(nn.Flatten()), pairs)


def test_a_loader_that_counts_classes_wrong_is_said_where_the_call_is(model, images):
    weights = torch.tensor(COUNTS).float().reciprocal()[images[0].tensors[1]]
    loader = DataLoader(images[0], 32, sampler=WeightedRandomSampler(weights, len(weights)))
    with pytest.warns(UserWarning, match="`train_loader` shows some images more often than others") as said:
        lt_lightning.retrain(model, loader, method="tau_norm")
    assert {warning.filename for warning in said} == {__file__}


def test_a_compiled_network_is_retrained_after_use(model, images):
    train, val = images
    compiled = torch.compile(model, backend="eager").eval()
    before, _ = accuracy(compiled, val), accuracy(compiled, train)
    result = lt_lightning.retrain(compiled, [train.tensors], test_loader=[val.tensors], method="crt", epochs=5)
    assert result.classifier == "_orig_mod.4"
    for figures, classes in ((result.before, before), (result.after, accuracy(result.model, val))):
        assert figures["all"] == pytest.approx(sum(classes) / 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_figures_of_a_module_in_half_precision_are_its_own(model, images, dtype):
    """Its weights are rounded, and so are its logits, of which some then tie."""
    half = deepcopy(model).eval()
    with torch.no_grad():
        half[4].weight.div_(64)
        half[4].bias.div_(64).add_(16)
    half.to(dtype)
    train, test = (TensorDataset(data.tensors[0].to(dtype), data.tensors[1]) for data in images)
    result = lt_lightning.retrain(half, [train.tensors], test_loader=[test.tensors], method="tau_norm")
    for figures, net in ((result.before, half), (result.after, result.model)):
        assert figures["all"] == pytest.approx(sum(accuracy(net, test)) / 4)


class Tied(nn.Module):
    """Has the weight of its last layer in another place too."""

    def __init__(self, model):
        super().__init__()
        self.net = deepcopy(model)
        self.prototypes = nn.Embedding(4, 12)
        self.prototypes.weight = self.net[4].weight

    def forward(self, images):
        return self.net(images)


def test_a_broken_tie_is_said_where_the_call_is(model, images):
    class Folding(Tied):
        def forward(self, images):
            return self.net[4](self.net[:4](images) + self.prototypes.weight.mean(dim=0))

    with pytest.warns(UserWarning, match=r"shares tensors of its nn.Linear 'net.4' with 'prototypes.weight'") as said:
        lt_lightning.retrain(Folding(model), [images[0].tensors], method="tau_norm")
    assert {warning.filename for warning in said} == {__file__}


def test_a_tie_is_tried_out_in_the_modes_that_the_network_needs(model, images):
    with torch.autocast("cpu", torch.bfloat16):  # else a half-precision network takes no such images
        found = lt_lightning.retrain(Tied(model).bfloat16(), [images[0].tensors], method="tau_norm")
    assert found.model.prototypes.weight is found.model.net[4].weight


def test_figures_of_a_layer_that_does_not_decide_are_refused(model, images):
    averaged = nn.Sequential(*model)
    averaged.register_forward_hook(lambda _, __, logits: (logits + logits.flip(1)) / 2)
    with pytest.raises(
        UsageError, match=r"`model` Sequential predicts other classes than its nn.Linear '4'; leave off"
    ):
        lt_lightning.retrain(averaged, [images[0].tensors])


def test_what_cannot_be_checked_is_said_where_the_call_is(model, images):
    opaque = nn.Sequential(*model)
    opaque.register_forward_hook(lambda _, __, logits: SimpleNamespace(prediction=logits))
    with pytest.warns(UserWarning, match="`classifier` '4' cannot be checked") as said:
        lt_lightning.retrain(opaque, [images[0].tensors], method="tau_norm", classifier="4")
    assert {warning.filename for warning in said} == {__file__}


def test_a_layer_without_bias_gets_one_where_the_method_has_one(model, images):
    net = nn.Sequential(*model[:4], nn.Linear(12, 4, bias=False))
    result = lt_lightning.retrain(net, [images[0].tensors], method="logit_adjustment")
    prior = torch.tensor(COUNTS) / sum(COUNTS)
    torch.testing.assert_close(result.model[4].bias, -prior.log(), check_dtype=False)
    assert list(net.state_dict())[-1] == "4.weight"


def test_the_page_says_what_works(model, images, here):
    text = (Path(__file__).resolve().parents[1] / "docs/hand_back.md").read_text()
    own, file, lightning = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    loader = [images[0].tensors]
    select = [images[1].tensors]
    loaders = {"train_loader": loader, "val_loader": select, "test_loader": select}
    scope = {"model": model, "class_counts": [1] * 100, **loaders}
    exec(own, scope)
    assert set(scope["better"].state_dict()) == set(model.state_dict())

    backbone = ResNet32()
    tensors = backbone.state_dict() | {"fc.weight": torch.rand(100, 64), "fc.bias": torch.rand(100)}
    torch.save(tensors, here / "model.pth")
    exec(file, scope)
    written = torch.load(here / "better.pth", weights_only=True)
    assert torch.equal(written["fc.weight"], scope["head"].to_linear().weight)

    counts, data = [1] * 100, SimpleNamespace()
    scope |= {"backbone": backbone, "head": CosineHead(64, counts), "loss": CrossEntropyLoss(counts), "data": data}
    exec(lightning, scope)
    assert read_record(here / "better.ckpt").model["init_args"]["head"]["class_path"] == "lt_lightning.heads.CosineHead"


class Batches:
    """Goes round as often as asked, and does not know how long that takes."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter(self.loader)


class Stream(IterableDataset):
    """Gives batches, and does not know how many; its DataLoader then has a ``__len__`` that fails."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter(self.loader)


def streamed(loader):
    return DataLoader(Stream(loader), batch_size=None)


@pytest.mark.parametrize("progress", [True, False])
@pytest.mark.parametrize(("kind", "known"), [(list, 5), (Batches, None), (streamed, None)])
def test_whoever_waits_sees_how_far_it_is(progress, kind, known, model, images, monkeypatch):
    bars = []

    @contextmanager
    def bar(title, total, shown):
        steps = []
        yield steps.append
        bars.append((title, total, shown, sum(steps)))

    monkeypatch.setattr(loader_features, "progress_bar", bar)
    loader = kind(DataLoader(images[0], batch_size=64))
    lt_lightning.retrain(model, loader, test_loader=[images[1][:]], method="tau_norm", progress=progress)
    assert bars == [("batches of train_loader", known, progress, 5), ("batches of test_loader", 1, progress, 1)]
