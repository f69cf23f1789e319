import pytest
import torch

from lt_lightning.functional.device import keeping_precision, widest_float


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
    monkeypatch.setattr("lt_lightning.functional.device.widest_float", lambda device: torch.float32)

    def to_a_device_without_fp64(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.float64:
            raise TypeError("no float64 here")
        return tensor

    moved = keeping_precision(to_a_device_without_fp64)(torch.ones(3, dtype=torch.float64))
    assert moved.dtype == torch.float32
