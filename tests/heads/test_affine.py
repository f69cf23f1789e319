import pytest
import torch
from torch import Tensor

from lt_lightning.heads import AffineHead
from lt_lightning.heads.affine import make_linear


class PlainHead(AffineHead):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features)


def test_it_is_a_base_and_no_head_of_its_own() -> None:
    with pytest.raises(TypeError, match=r"abstract class AffineHead .*forward"):
        AffineHead(4, [5, 3, 1])  # type: ignore[abstract]


def test_names_and_initial_values_are_those_of_a_linear_layer() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 3)
    torch.manual_seed(0)
    head = PlainHead(4, [5, 3, 1])
    assert head.state_dict().keys() == layer.state_dict().keys()
    assert torch.equal(head.weight, layer.weight)
    assert torch.equal(head.bias, layer.bias)
    head.load_state_dict(layer.state_dict())


def test_init_from_copies() -> None:
    head = PlainHead(2, [5, 3, 1])
    weight, bias = torch.arange(6.0).view(3, 2), torch.arange(3.0)
    head.init_from(weight, bias)
    weight.zero_()
    assert head.weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert head.bias.tolist() == [0.0, 1.0, 2.0]


def test_a_bias_that_stage_1_lacks_becomes_zero() -> None:
    head = PlainHead(2, [5, 3, 1])
    head.init_from(torch.ones(3, 2), None)
    assert head.bias.tolist() == [0.0, 0.0, 0.0]


def test_a_bias_that_the_head_lacks_is_left_out() -> None:
    head = PlainHead(2, [5, 3], bias=False)
    head.init_from(torch.ones(2, 2), torch.ones(2))
    assert head.bias is None
    assert head.state_dict().keys() == {"weight"}


def test_init_from_keeps_the_precision_of_the_head() -> None:
    head = PlainHead(2, [5, 3])
    head.init_from(torch.ones(2, 2, dtype=torch.float16), None)
    assert head.weight.dtype == torch.float32


def test_make_linear_trains() -> None:
    layer = make_linear(torch.ones(3, 2), None)
    assert layer.bias is None
    assert layer.weight.requires_grad
    assert (layer.in_features, layer.out_features) == (2, 3)
