"""No step of training or validation waits for its device: nothing on it becomes a Python number."""

from inspect import isabstract

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lt_lightning import losses, mixing
from lt_lightning.callbacks import DRW, LinearWarmup, ResultsWriter, WeightEMA
from lt_lightning.heads import CosineHead, MaxNormHead
from lt_lightning.losses import CrossEntropyLoss

READING = ("item", "tolist", "cpu", "__bool__", "__float__", "__int__", "__index__")
aten = torch.ops.aten
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.bincount.default,
    aten._unique2.default,
    aten.repeat_interleave.Tensor,
}
"""Operators that hand a number to the host, or whose output has a size that only the device knows."""


class Waited(Exception):
    pass


class NoWaiting(TorchDispatchMode):
    """Fails where a GPU would make the host wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in WAITING or (func.overloadpacket in (aten.index, aten.index_put_) and _by_mask(args[1])):
            raise Waited(str(func))
        return func(*args, **(kwargs or {}))


def _by_mask(indices):
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


class Steps(Callback):
    """Watches from the making of a batch to the end of its step. It has to be the last callback."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch
        self.steps = 0
        self.mode = None

    def watch(self, data):
        """Start when a batch is made, which is before any callback hears of it."""
        make = data.on_after_batch_transfer

        def made(batch, dataloader_idx):
            if not data.trainer.sanity_checking:
                self.enter()
            return make(batch, dataloader_idx)

        self.monkeypatch.setattr(data, "on_after_batch_transfer", made)

    def enter(self):
        def refuse(tensor, *args, **kwargs):
            raise Waited("a tensor was read")

        self.patch = pytest.MonkeyPatch()
        for name in READING:
            self.patch.setattr(Tensor, name, refuse)
        self.mode = NoWaiting()
        self.mode.__enter__()

    def leave(self):
        if self.mode is not None:
            self.mode.__exit__(None, None, None)
            self.patch.undo()
            self.mode = None
            self.steps += 1

    def on_train_batch_end(self, *_):
        self.leave()

    def on_validation_batch_end(self, *_):
        self.leave()

    def on_exception(self, *_):
        self.leave()


@pytest.fixture
def watched(monkeypatch, trainer, digits, stage1_module):
    """Runs two epochs of two steps, validation included, and counts the steps that were watched."""

    def run(callbacks=(), data=None, limit=2, **options):
        data = data or digits()
        steps = Steps(monkeypatch)
        steps.watch(data)
        module = stage1_module(data, **options)
        made = trainer(2, callbacks=[*callbacks, steps], limit_train_batches=limit, num_sanity_val_steps=0)
        try:
            made.fit(module, datamodule=data)
        finally:
            steps.leave()
        return steps.steps

    return run


KINDS = sorted(
    (kind for name in losses.__all__ if not isabstract(kind := getattr(losses, name))), key=lambda kind: kind.__name__
)


def head_for(kind):
    scaled = getattr(kind([3, 2]), "logit_scale", 1) > 1
    return {"head": lambda d, counts: CosineHead(d, counts, scale=1.0)} if scaled else {}


@pytest.mark.parametrize("kind", [CrossEntropyLoss, losses.EqualizationLossV2])  # without a state and with one
def test_a_step_reads_nothing(watched, kind):
    """What each loss does is asked of it alone, in its contract."""
    assert watched(loss=kind) == 6


@pytest.mark.parametrize(
    "options",
    [
        {"mixing": mixing.Mixup},
        {"mixing": lambda: mixing.CutMix(probability=1.0)},
        {"head": MaxNormHead},
        {"flip_average": True, "channels_last": True},
        {"optimizer": lambda p: torch.optim.AdamW(p, lr=1e-3, fused=True)},
    ],
)
def test_a_step_with_other_parts_reads_nothing(watched, options):
    assert watched(**options) == 6


def test_callbacks_read_nothing_in_a_step(watched):
    callbacks = [
        ResultsWriter(),
        LinearWarmup(1),
        WeightEMA(),
        DRW(start=0.5),
    ]
    assert watched(callbacks, loss=losses.LDAMLoss, **head_for(losses.LDAMLoss), limit=5) == 12


def test_images_that_are_loaded_are_made_without_waiting(monkeypatch, watched):
    monkeypatch.setattr("lt_lightning.data.crop_table.CPU_TABLE_BYTES", 0)
    assert watched() == 6


def test_the_watch_sees_a_step_that_waits(watched):
    class Reading(CrossEntropyLoss):
        def forward(self, logits, targets, features=None):
            loss = super().forward(logits, targets, features)
            return loss if loss.item() > 0 else -loss

    class Masking(CrossEntropyLoss):
        def forward(self, logits, targets, features=None):
            return super().forward(logits[targets > 0], targets[targets > 0], features)

    for kind in (Reading, Masking):
        with pytest.raises(Waited):
            watched(loss=kind)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_is_not_waited_for(trainer, digits, stage1_module, kind):
    class Debug(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            torch.cuda.set_sync_debug_mode("error" if batch_idx else "default")  # the first allocates and initialises

        def on_train_batch_end(self, *_):
            torch.cuda.set_sync_debug_mode("default")

        def on_exception(self, *_):
            torch.cuda.set_sync_debug_mode("default")

    data = digits()
    module = stage1_module(data, loss=kind, **head_for(kind))
    run = trainer(2, callbacks=[Debug()], accelerator="gpu", devices=1)
    run.fit(module, datamodule=data)
    assert run.global_step == 10
