"""Classifiers that a file does not hold as rows of weights."""

import pytest
from torch import nn
from torch.nn.utils import parametrizations, prune, remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm
from torch.nn.utils.parametrize import remove_parametrizations

from lt_lightning import checkpoints
from lt_lightning.errors import UsageError


def read(layer, backbone, in_memory):
    tensors = backbone.state_dict() | {f"net.fc.{key}": value for key, value in layer.state_dict().items()}
    source = in_memory(tensors)
    return checkpoints.find_classifier(checkpoints.match(source, backbone), 8, 10, source.path)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize(
    ("compute", "said", "end"),
    [
        (
            parametrizations.weight_norm,
            "remove_parametrizations",
            lambda layer: remove_parametrizations(layer, "weight"),
        ),
        (
            parametrizations.spectral_norm,
            "remove_parametrizations",
            lambda layer: remove_parametrizations(layer, "weight"),
        ),
        (weight_norm, "remove_weight_norm", remove_weight_norm),
        (spectral_norm, "remove_spectral_norm", remove_spectral_norm),
        (
            lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
            "prune.remove",
            lambda layer: prune.remove(layer, "weight"),
        ),
    ],
)
def test_of_a_computed_weight_it_is_said_what_ends_that(compute, said, end, backbone, in_memory):
    layer = compute(nn.Linear(8, 10))
    with pytest.raises(
        UsageError, match=rf"has a classifier 'net.fc' whose weight is computed from 'net.fc\..*{said}\("
    ):
        read(layer, backbone, in_memory)
    end(layer)
    assert read(layer, backbone, in_memory).weight.shape == (10, 8)


@pytest.mark.parametrize("make", [lambda: nn.Conv1d(8, 10, 1), lambda: nn.Conv2d(8, 10, 1)])
def test_of_a_convolution_it_is_said_how_it_becomes_a_layer(make, backbone, in_memory):
    with pytest.raises(
        UsageError, match=r"'net.fc.weight' that is a convolution of one pixel; .*`weight.flatten\(1\)`"
    ):
        read(make(), backbone, in_memory)


def test_computed_weights_of_other_shapes_are_nothing_to_do_with_it(backbone, in_memory):
    with pytest.raises(UsageError, match="must hold one linear classifier with 10 rows of 8 features, but has 0: left"):
        read(parametrizations.weight_norm(nn.Linear(4, 10)), backbone, in_memory)
