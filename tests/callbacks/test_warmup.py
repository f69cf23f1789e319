"""Linear warm-up."""

import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from lt_lightning.callbacks import LinearWarmup
from lt_lightning.errors import UsageError
from lt_lightning.schedules import CosineLR


class Rates(Callback):
    """Keeps the learning rate that each optimiser step uses, and what the schedule says between steps."""

    def __init__(self):
        self.used, self.scheduled = [], []

    def on_train_start(self, trainer, pl_module):  # comes after the warm-up's, so its hook sees what that one did
        def note(optimizer, *_):
            self.used.append((trainer.current_epoch, *self.rates(optimizer)))

        trainer.optimizers[0].register_step_pre_hook(note)

    @staticmethod
    def rates(optimizer):
        return tuple(group["lr"] for group in optimizer.param_groups)

    def on_train_batch_start(self, trainer, pl_module, *args):
        self.scheduled.append((trainer.current_epoch, *self.rates(trainer.optimizers[0])))


def cosine(epoch):
    return (1 + math.cos(math.pi * epoch / 7)) / 2


def steps(epoch):
    return 0.1 ** sum(epoch >= milestone for milestone in (2, 5))


@pytest.mark.parametrize(
    ("schedule", "scheduler"),
    [
        (cosine, lambda optimizer: CosineLR(optimizer)),
        (steps, lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5])),
    ],
)
def test_rates_rise_linearly_and_the_schedule_does_not_notice(trainer, digits, stage1_module, schedule, scheduler):
    data, rates = digits(), Rates()
    module = stage1_module(data, optimizer=lambda p: torch.optim.SGD(p, lr=0.4), lr_scheduler=scheduler)
    run = trainer(max_epochs=7, callbacks=[LinearWarmup(5), rates])
    run.fit(module, datamodule=data)
    warm = [0.4 * schedule(epoch) * min(1, (epoch + 1) / 5) for epoch in range(7)]
    cold = [0.4 * schedule(epoch) for epoch in range(7)]
    assert [epoch for epoch, _ in rates.used] == [epoch for epoch in range(7) for _ in range(5)]
    assert [rate for _, rate in rates.used] == pytest.approx([rate for rate in warm for _ in range(5)])
    assert [rate for _, rate in rates.scheduled] == pytest.approx([rate for rate in cold for _ in range(5)])
    assert run.callback_metrics["train/lr"].item() == pytest.approx(warm[-1])


def test_what_is_logged_is_the_rate_in_use(trainer, digits, stage1_module):
    data = digits()
    run = trainer(max_epochs=2, callbacks=[LinearWarmup(4)])
    run.fit(stage1_module(data, lr_scheduler=lambda o: CosineLR(o, end_factor=1.0)), datamodule=data)
    assert run.callback_metrics["train/lr"].item() == pytest.approx(0.01 * 2 / 4)


def test_the_optimiser_is_left_as_it_was(trainer, digits, stage1_module):
    data = digits()
    run = trainer(max_epochs=1, callbacks=[LinearWarmup(5)])
    module = stage1_module(data, lr_scheduler=lambda o: CosineLR(o, end_factor=1.0))
    run.fit(module, datamodule=data)
    (optimizer,) = run.optimizers
    used = []
    optimizer.register_step_pre_hook(lambda opt, *_: used.append(opt.param_groups[0]["lr"]))
    optimizer.step()
    assert used == [0.01]


def test_every_parameter_group_is_scaled(trainer, digits, stage1_module):
    def two_groups(parameters):
        first, *others = parameters
        return torch.optim.SGD([{"params": [first], "lr": 1e-3}, {"params": others, "lr": 1e-2}])

    data, rates = digits(), Rates()
    module = stage1_module(data, optimizer=two_groups)
    trainer(max_epochs=1, callbacks=[LinearWarmup(5), rates]).fit(module, datamodule=data)
    assert [used[1:] for used in rates.used] == [pytest.approx((2e-4, 2e-3))] * 5


def test_a_run_resumed_within_an_epoch_warms_up_alike(tmp_path, trainer, digits, stage1_module):
    used = []
    for again in (False, True):
        data, rates = digits(), Rates()
        keep = ModelCheckpoint(tmp_path / str(again), filename="{step}", every_n_train_steps=7, save_top_k=-1)
        run = trainer(max_epochs=3, callbacks=[LinearWarmup(3), rates, keep], enable_checkpointing=True)
        checkpoint = tmp_path / "False" / "step=7.ckpt" if again else None
        run.fit(stage1_module(data), datamodule=data, ckpt_path=checkpoint)
        used.append(rates.used)
    assert len(used[1]) == 8
    assert used[1] == used[0][7:]


def test_factors():
    warmup = LinearWarmup(4)
    assert [warmup.factor(epoch) for epoch in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_less_than_one_epoch_is_refused():
    with pytest.raises(
        UsageError, match="`epochs` of `LinearWarmup` must be at least 1, but got 0; leave the callback"
    ):
        LinearWarmup(0)
