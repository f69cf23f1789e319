"""Code of one's own is part of the name of features."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn

from lt_lightning.augmentations import Cutout
from lt_lightning.backbones import ResNet20, SmallCNN
from lt_lightning.data import DigitsLT
from lt_lightning.features import extract
from lt_lightning.features.code import code_of

NETWORK = """
import torch
from torch import nn
from lt_lightning.backbones import Backbone
import helper_of_net
from helper_of_net import shift

GAIN = 1.0
TABLE = torch.ones(2)

def act(x):
    return x

class Base(Backbone):
    num_features = 4
    power = 1

class Net(Base):
    def __init__(self, scale=1.0):
        super().__init__()
        self.lin = nn.Linear(64, 4)
        self.scale = scale

    @torch.no_grad()
    def forward(self, x):
        x = self.lin(x.flatten(1))
        return helper_of_net.last(self._scaled(act(shift(x)))) * GAIN * TABLE[0]

    def _scaled(self, x):
        return [one * self.scale for one in [x]][0]

def unused():
    return 1
"""
HELPER = """
def shift(x):
    return x + 0.0

def last(x):
    return x * 1.0
"""


def network(text=NETWORK, helper=HELPER, **options):
    """A `Net` of a module of its own, with the same weights whatever its code."""
    modules = []
    for name, source in (("helper_of_net", helper), ("net_of_mine", text)):
        module = type(sys)(name)
        sys.modules[name] = module
        exec(compile(source, name + ".py", "exec"), vars(module))
        modules.append(module)
    torch.manual_seed(0)
    return modules[1].Net(**options)


@pytest.fixture(autouse=True)
def _no_modules_left():
    yield
    for name in ("helper_of_net", "net_of_mine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.lin(x.flatten(1))", "torch.relu(self.lin(x.flatten(1)))"),
        ("one * self.scale for", "one / self.scale for"),
        ("    return x\n", "    return torch.tanh(x)\n"),
        ("GAIN = 1.0", "GAIN = 2.0"),
        ("torch.ones(2)", "torch.zeros(2)"),
        ("power = 1", "power = 2"),
    ],
    ids=["forward", "nested", "function", "constant", "tensor", "attribute of a base"],
)
def test_an_edit_changes_it(old, new):
    assert NETWORK.count(old) == 1
    assert code_of(network()) != code_of(network(NETWORK.replace(old, new)))


@pytest.mark.parametrize(("old", "new"), [("x + 0.0", "x + 1.0"), ("x * 1.0", "x * 2.0")])
def test_so_does_an_edit_in_another_file(old, new):
    assert code_of(network()) != code_of(network(helper=HELPER.replace(old, new)))


def test_so_does_a_plain_value_that_no_tensor_and_no_text_shows():
    assert code_of(network()) != code_of(network(scale=2.0))
    assert code_of(network(scale=torch.relu)) != code_of(network(scale=torch.tanh))


def test_comments_and_what_nothing_uses_change_nothing():
    other = "# a remark\n" + NETWORK.replace("    return 1\n", "    return 2\n")
    assert code_of(network()) == code_of(network()) == code_of(network(other))


def test_it_is_the_same_in_each_process(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from lt_lightning.backbones import Backbone\n"
        "class Net(Backbone):\n"
        "    def forward(self, x):\n"
        "        return x if self.kind in {'a', 'b', 'c', 'd'} else self.lin\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mine import Net\nfrom lt_lightning.features.code import code_of\nprint(code_of(Net()))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert "mine.Net" in found.pop()


def test_of_this_package_and_of_torch_nothing_counts():
    assert code_of(ResNet20(), [DigitsLT()]) == {}
    assert code_of(nn.Sequential(SmallCNN(8), nn.ReLU())) == {}


def test_of_other_packages_the_version_counts(monkeypatch):
    from torchvision.ops import MLP

    from lt_lightning.features import code

    found = code_of(MLP(2, [2]))
    assert list(found) == ["torchvision"]
    code._package.cache_clear()
    monkeypatch.setattr(code.metadata, "version", lambda name: "0.0.1")
    assert code_of(MLP(2, [2])) == {"torchvision": "torchvision 0.0.1"} != found
    monkeypatch.undo()
    code._package.cache_clear()


def test_a_counter_of_a_class_changes_nothing():
    made = network()
    before = code_of(made)
    type(made).power += 1
    assert code_of(made) == before


class Halved(DigitsLT):
    """Data of one's own."""

    def to_input(self, images, training, generator):
        return super().to_input(images, training, generator) / 2


class Twice:
    def __init__(self, factor=2):
        self.factor = factor

    def __call__(self, images):
        return images * self.factor


class Mine(Cutout):
    def __call__(self, images, generator=None):
        return images


def test_data_and_transforms_of_ones_own_count(monkeypatch):
    before = code_of(SmallCNN(8), [Halved()])
    assert [name.rpartition(".")[2] for name in before] == ["Halved"]
    monkeypatch.setattr(Halved, "to_input", DigitsLT.to_input)
    assert code_of(SmallCNN(8), [Halved()]) != before

    def of(transform):
        data = DigitsLT()
        data.transform = transform
        return tuple(sorted(code_of(SmallCNN(8), [data]).items()))

    made = [Twice(), Twice(3), [Twice()], partial(Twice.__call__, Twice()), Twice().__call__, torch.relu, torch.tanh]
    assert len({of(transform) for transform in made}) == len(made)
    assert of(Twice()) == of(Twice())
    before = of([Twice()])
    monkeypatch.setattr(Twice, "__call__", lambda self, images: images)
    assert of([Twice()]) != before


def test_augmentation_counts_where_images_are_augmented():
    data = DigitsLT(augmentation=Mine)
    assert code_of(SmallCNN(8), [data]) == {}
    assert any(name.endswith(".Mine") for name in code_of(SmallCNN(8), [data], training=True))


def test_features_of_code_that_has_changed_are_extracted_anew(options, capsys):
    first = extract(network(), DigitsLT(), options=options(cache=True)).values
    capsys.readouterr()
    assert torch.equal(extract(network(), DigitsLT(), options=options(cache=True)).values, first)
    assert " computed " not in capsys.readouterr().out
    edited = NETWORK.replace("self.lin(x.flatten(1))", "torch.relu(self.lin(x.flatten(1)))")
    second = extract(network(edited), DigitsLT(), options=options(cache=True)).values
    assert " computed " in capsys.readouterr().out
    assert torch.equal(second, first.relu())


def test_features_of_data_whose_code_has_changed_are_extracted_anew(counting, options, monkeypatch):
    extract(counting, Halved(), options=options(cache=True))
    passes = counting.passes
    extract(counting, Halved(), options=options(cache=True))
    assert counting.passes == passes
    monkeypatch.setattr(Halved, "to_input", lambda self, images, *_: images / 3)
    extract(counting, Halved(), options=options(cache=True))
    assert counting.passes > passes
