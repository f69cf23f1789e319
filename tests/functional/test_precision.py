import pytest
import torch

from lt_lightning.functional import at_least_fp32, linear
from lt_lightning.functional.precision import keeping_precision, outside_autocast, widest_float


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_is_raised_and_fp64_kept(given: torch.dtype, expected: torch.dtype) -> None:
    assert at_least_fp32(torch.ones(2, dtype=given)).dtype == expected


def test_linear_ignores_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    features, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((5, 64), (3, 64), (3,)))
    expected = torch.nn.functional.linear(features, weight, bias)
    with torch.autocast("cpu", torch.bfloat16):
        found = linear(features, weight, bias)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_linear_of_half_precision_features_is_fp32(dtype: torch.dtype) -> None:
    features, weight = torch.full((1, 3), 300.0, dtype=dtype), torch.full((2, 3), 300.0, dtype=dtype)
    found = linear(features, weight)
    assert found.dtype == torch.float32
    assert found.tolist() == [[270_000.0, 270_000.0]]  # beyond fp16's largest number


def test_linear_takes_the_wider_type() -> None:
    assert linear(torch.ones(1, 2, dtype=torch.float64), torch.ones(3, 2), torch.ones(3)).dtype == torch.float64
    wide = torch.tensor([[1 / 3]], dtype=torch.float64)
    assert torch.equal(linear(torch.ones(1, 1), wide), wide)


def test_products_outside_autocast_keep_their_precision():
    values = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (values @ values).dtype == torch.bfloat16
        with outside_autocast(values), outside_autocast(values.to("meta")):
            assert (values @ values).dtype == torch.float32


def test_only_mps_lacks_fp64() -> None:
    assert widest_float(torch.device("cpu")) == torch.float64
    assert widest_float(torch.device("cuda")) == torch.float64
    assert widest_float(torch.device("mps")) == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64, torch.bool])
def test_precision_survives_a_cast(dtype: torch.dtype) -> None:
    values = torch.tensor([0, 1, 1], dtype=dtype)
    moved = keeping_precision(lambda tensor: tensor.to(torch.bfloat16))(values)
    assert moved.dtype == dtype
    assert torch.equal(moved, values)


def test_device_follows() -> None:
    moved = keeping_precision(lambda tensor: tensor.to("meta", torch.float16))(torch.ones(3, dtype=torch.float64))
    assert moved.device.type == "meta"
    assert moved.dtype == torch.float64


def test_fp64_is_lowered_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lt_lightning.functional.precision.widest_float", lambda device: torch.float32)

    def to_a_device_without_fp64(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.float64:
            raise TypeError("no float64 here")
        return tensor

    moved = keeping_precision(to_a_device_without_fp64)(torch.ones(3, dtype=torch.float64))
    assert moved.dtype == torch.float32
