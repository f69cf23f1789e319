"""Values in words: equal for equal ones, different for different ones."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lt_lightning.features.values import Values


def words(value, backbone=None):
    return Values(backbone or nn.Identity()).words(value)


class Slotted:
    __slots__ = ("gain",)

    def __init__(self, gain):
        self.gain = gain


def scaled(factor):
    return lambda x: x * factor


def circle(entry):
    found = [entry]
    found.append(found)
    return found


def chain(length):
    last = None
    for number in range(length):
        last = SimpleNamespace(number=number, last=last)
    return last


PAIRS = {
    "plain": lambda n: {"a": [n, (1.0, None)]},
    "function": lambda n: (F.relu, F.gelu)[n],
    "function in C": lambda n: (torch.relu, torch.tanh)[n],
    "method in C": lambda n: (torch.Tensor.relu, torch.Tensor.tanh)[n],
    "functions of one name": lambda n: (lambda x: x + 1, lambda x: x - 1)[n],
    "functions that torch chooses by an option": lambda n: (F.max_pool1d, F.max_pool2d)[n],
    "enclosed": scaled,
    "partial": lambda n: partial(F.leaky_relu, negative_slope=n),
    "method": lambda n: Slotted(n).__init__,
    "class": lambda n: (nn.ReLU, nn.Tanh)[n],
    "tensor": lambda n: torch.tensor([0.0, n]),
    "shape": lambda n: torch.zeros((2, 3) if n else (3, 2)),
    "type": lambda n: torch.zeros(1, dtype=(torch.float32, torch.int32)[n]),
    "sparse": lambda n: torch.tensor([0.0, n]).to_sparse(),
    "array": lambda n: np.array([0.0, n]),
    "array of objects": lambda n: np.array([{"a": n}], dtype=object),
    "ufunc": lambda n: (np.tanh, np.sin)[n],
    "dtype": lambda n: (torch.float16, torch.float32)[n],
    "path": lambda n: Path(f"{n}.txt"),
    "namespace": lambda n: SimpleNamespace(deep=[SimpleNamespace(act=torch.tensor(n))]),
    "slots": Slotted,
    "network in a list": lambda n: [nn.Conv2d(1, 1, 1, padding_mode=("zeros", "circular")[n], bias=False)],
    "circle": circle,
    "chain": lambda n: chain(500 + n),
    "long": lambda n: [n] * 5000,
}


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_what_is_made_alike_has_the_same_words_and_what_differs_others(make):
    def of(n):
        torch.manual_seed(0)
        return words(make(n))

    assert of(0) == of(0) != of(1)


def test_sets_have_no_order_and_addresses_are_left_out():
    assert words([SimpleNamespace(a={"b", "a", 3})]) == words([SimpleNamespace(a={3, "a", "b"})])
    assert words([object(), torch.Generator()]) == words([object(), torch.Generator()])


def test_compiling_and_tensors_without_values_are_no_hindrance():
    first, second = (torch.compile(torch.nn.Linear(2, 2), backend="eager") for _ in range(2))
    assert Values(first).attributes(first) == Values(second).attributes(second)
    assert words(torch.empty(2, device="meta")) == words(torch.empty(2, device="meta"))


def test_where_it_runs_does_not_count():
    assert words(torch.device("cpu")) == words(torch.device("cuda"))


def test_modules_and_tensors_of_the_backbone_are_named():
    backbone = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    assert words([backbone[0]], backbone) != words([backbone[1]], backbone)
    before = words([backbone[0], backbone[1].weight], backbone)
    nn.init.ones_(backbone[1].weight)
    assert words([backbone[0], backbone[1].weight], backbone) == before


def test_kinds_within_are_noted():
    values = Values(nn.Identity())
    values.words([{"a": Slotted(1)}, partial(scaled, 2), [nn.ReLU()]])
    assert {Slotted, scaled, nn.ReLU} <= set(values.kinds)


def test_mode_and_origin_of_weights_are_no_attributes_that_count():
    def of(**attributes):
        network = nn.Linear(1, 1)
        vars(network).update(attributes)
        return Values(network).attributes(network)

    assert of() == of(training=False) == of(weights_file="a.pth", published_transform={"mean": [0.5]})
    assert of() != of(scale=2)
