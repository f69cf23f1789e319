"""TF32: a setting of the process, which is put back."""

import warnings

import pytest
import torch

from lt_lightning.devices.tf32 import allow_tf32, put_back, tf32

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def setting():
    with warnings.catch_warnings():  # torch 2.9 warns of being asked, once
        warnings.simplefilter("ignore")
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def torchs_own():
    """What torch starts with, also for what comes later: no machine needs a GPU for that."""
    assert setting() == ("highest", True)
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True


def test_it_holds_for_a_while():
    with tf32(True, GPU):
        assert setting() == ("high", True)
        with tf32(False, GPU):
            assert setting() == ("highest", False)
        assert setting() == ("high", True)
    assert setting() == ("highest", True)
    with pytest.raises(ZeroDivisionError), tf32(False, GPU):
        1 / 0  # noqa: B018
    assert setting() == ("highest", True)


def test_a_cpu_keeps_its_products():
    assert allow_tf32(False, CPU) is None
    with tf32(False, CPU):
        assert setting() == ("highest", True)
    put_back(None)
    assert setting() == ("highest", True)


def test_advice_is_kept_from_the_user(monkeypatch):
    """Of torch 2.9; here warnings are errors."""

    def advise(*_):
        warnings.warn("Please use the new API settings to control TF32 behavior, such as", UserWarning, stacklevel=2)
        return "highest"

    for name in ("get_float32_matmul_precision", "set_float32_matmul_precision"):
        monkeypatch.setattr(torch, name, advise)
    before = allow_tf32(False, GPU)
    assert before == ("highest", True)
    put_back(before)


def test_a_run_leaves_the_process_as_it_was(monkeypatch, trainer, digits, stage1_module):
    found = []
    monkeypatch.setattr("lt_lightning.modules.base.allow_tf32", lambda allowed, _: allow_tf32(allowed, GPU))
    for allowed in (True, False):
        data = digits()
        module = stage1_module(data, tf32=allowed)
        monkeypatch.setattr(module, "on_train_end", lambda: found.append(setting()))
        trainer(limit_train_batches=1, limit_val_batches=1).fit(module, datamodule=data)
        assert setting() == ("highest", True)
    assert found == [("high", True), ("highest", False)]


def test_a_run_that_was_cut_short_is_not_what_a_later_one_leaves(monkeypatch, trainer, digits, stage1_module):
    monkeypatch.setattr("lt_lightning.modules.base.allow_tf32", lambda allowed, _: allow_tf32(allowed, GPU))
    data = digits()
    module = stage1_module(data)

    def fail():
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(module, "on_train_start", fail)
        with pytest.raises(ZeroDivisionError):
            trainer().fit(module, datamodule=data)  # Lightning asks no module to clean up then
    trainer(limit_train_batches=1, limit_val_batches=1).fit(module, datamodule=data)
    assert setting() == ("highest", True)
