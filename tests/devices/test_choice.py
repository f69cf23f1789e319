import re
from pathlib import Path

import pytest
import torch

from lt_lightning.devices.choice import check_device, device_of, fastest_precision, gpu_of_process
from lt_lightning.errors import UsageError


@pytest.fixture
def machine(monkeypatch):
    """A machine with a GPU or none, and with a processor of these flags."""

    def make(cuda=None, flags="", mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation: cuda and not including_emulation
        )
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        read = Path.read_text
        monkeypatch.setattr(
            Path,
            "read_text",
            lambda path, *args: (
                f"model name: x\nflags\t: fpu {flags}\n" if str(path) == "/proc/cpuinfo" else read(path)
            ),
        )

    return make


@pytest.mark.parametrize(
    ("options", "accelerator", "expected"),
    [
        ({"cuda": True}, "auto", "bf16-mixed"),
        ({"cuda": True}, "gpu", "bf16-mixed"),
        ({"cuda": False, "flags": "avx512_bf16"}, "auto", "32-true"),
        ({"cuda": True}, "cpu", "32-true"),
        ({"flags": "avx512f"}, "auto", "32-true"),
        ({"flags": "avx512_bf16"}, "auto", "bf16-mixed"),
        ({"flags": "avx2 amx_bf16"}, "cpu", "bf16-mixed"),
        ({"flags": "avx512_bf16", "mps": True}, "auto", "32-true"),
        ({"flags": "avx512_bf16"}, "mps", "32-true"),
        ({"flags": "avx512_bf16"}, "tpu", "32-true"),
    ],
)
def test_bf16_is_for_hardware_that_has_it(machine, options, accelerator, expected):
    machine(**options)
    assert fastest_precision(accelerator) == expected


def test_a_system_that_says_nothing_is_not_relied_on(machine, monkeypatch):
    machine()

    def fail(path, *args):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", fail)
    assert fastest_precision("cpu") == "32-true"


def test_a_device_is_the_one_that_is_named(monkeypatch):
    assert device_of("cpu") == torch.device("cpu")
    assert device_of("meta") == torch.device("meta")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device_of("auto") == torch.device("mps")
    assert device_of("auto", apple=False) == torch.device("cpu")


@pytest.mark.parametrize(
    ("gpus", "missing", "there"),
    [
        (0, "foo", "cpu"),
        (0, "cuda", "cpu"),
        (0, "mps", "cpu"),
        (0, "hpu", "cpu"),
        (2, "cuda:2", "cpu or cuda:0 or cuda:1"),
        (0, "", "cpu"),
    ],
)
def test_a_device_that_there_is_not_is_refused(machine, monkeypatch, gpus, missing, there):
    machine(cuda=bool(gpus) or None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    for name in ("auto", "cpu", *["cuda", "cuda:1"][:gpus]):
        check_device("features.device", name)
    sentence = f"`features.device` must be `auto` or a device of this machine, {there}, but got '{missing}'."
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
        check_device("features.device", missing)


@pytest.mark.parametrize(("rank", "devices", "own"), [("1", 8, 1), ("3", 1, 0), ("3", 2, 1), (None, 8, 5)])
def test_a_process_takes_a_device_that_it_sees(monkeypatch, rank, devices, own):
    """Clusters may show each process its own device alone."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 5)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert gpu_of_process() == own
