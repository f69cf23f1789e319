"""Deferred re-weighting."""

from math import inf, nan

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint

from lt_lightning.callbacks import DRW, DeferredLoss
from lt_lightning.errors import UsageError
from lt_lightning.functional import class_balanced_weights
from lt_lightning.losses import BalancedSoftmaxLoss, ClassBalancedLoss, CrossEntropyLoss, LORTLoss, Loss
from lt_lightning.samplers import ClassBalancedSampler


class Weights(Callback):
    """Keeps the class weights of each training batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, *args):
        weight = pl_module.loss.weight
        self.seen.append((trainer.current_epoch, None if weight is None else weight.tolist()))


def test_a_loss_that_forgets_its_weights_is_refused(trainer, digits, stage1_module):
    class Forgetful(Loss):
        def forward(self, logits, targets, features=None):
            return torch.nn.functional.cross_entropy(logits, targets)

    module = stage1_module(data := digits(), loss=Forgetful)
    with pytest.raises(UsageError, match="`DRW` would change nothing: `Forgetful` takes class weights, but does not"):
        trainer(callbacks=[DRW(0)]).fit(module, datamodule=data)


@pytest.mark.parametrize(("start", "first"), [(2, 2), (2.0, 2), (0.5, 2), (0.8, 3), (0, 0), (0.0, 0)])
def test_weights_come_into_force_with_their_epoch(trainer, digits, stage1_module, start, first):
    data, weights = digits(batch_size=276), Weights()
    module = stage1_module(data)
    trainer(max_epochs=4, limit_val_batches=0, callbacks=[DRW(start), weights]).fit(module, datamodule=data)
    balanced = class_balanced_weights(data.class_counts, 0.9999).tolist()
    assert weights.seen == [(epoch, balanced if epoch >= first else None) for epoch in range(4)]
    # The published formula, by hand.
    raw = [(1 - 0.9999) / (1 - 0.9999**count) for count in data.class_counts]
    assert balanced == pytest.approx([10 * value / sum(raw) for value in raw])
    assert module.loss.weight is None  # so that it can be trained with again


def test_the_loss_is_the_weighted_one(trainer, digits, stage1_module):
    final = []
    for callbacks, loss in (([DRW(0, beta=0.99)], CrossEntropyLoss), ([], lambda n: ClassBalancedLoss(n, beta=0.99))):
        torch.manual_seed(0)
        data = digits()
        module = stage1_module(data, loss=loss)
        trainer(callbacks=callbacks).fit(module, datamodule=data)
        final.append(module.state_dict())
    assert all(torch.equal(final[0][key], tensor) for key, tensor in final[1].items())


@pytest.mark.parametrize(
    ("when", "step"),
    [({"every_n_train_steps": 1}, step) for step in (4, 5, 7)] + [({"save_on_train_epoch_end": True}, 5)],
)
def test_a_resumed_run_has_the_weights_of_its_epoch(tmp_path, trainer, digits, stage1_module, when, step):
    runs = []
    for again in (False, True):
        torch.manual_seed(int(again))
        data, weights = digits(), Weights()
        keep = ModelCheckpoint(tmp_path / str(again), filename="{step}", save_top_k=-1, **when)
        checkpoint = tmp_path / "False" / f"step={step}.ckpt" if again else None
        module = stage1_module(data)
        run = trainer(max_epochs=3, callbacks=[DRW(1), weights, keep], enable_checkpointing=True)
        run.fit(module, datamodule=data, ckpt_path=checkpoint)
        runs.append((weights.seen, module.state_dict()))
    (whole, weights), (resumed, weights_again) = runs
    assert [seen is not None for _, seen in whole] == [False] * 5 + [True] * 10
    assert resumed == whole[step:]
    assert all(torch.equal(weights_again[key], tensor) for key, tensor in weights.items())


def test_it_can_be_fitted_twice(trainer, digits, stage1_module):
    data = digits()
    module, drw = stage1_module(data), DRW(1)
    for _ in range(2):
        weights = Weights()
        trainer(max_epochs=2, callbacks=[drw, weights]).fit(module, datamodule=data)
        assert [seen is not None for _, seen in weights.seen] == [False] * 5 + [True] * 5


class Interrupted(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise RuntimeError("stopped")


def test_an_interruption_leaves_the_loss_as_it_was(trainer, digits, stage1_module):
    data = digits()
    module, drw, deferred = stage1_module(data), DRW(1), DeferredLoss(2)
    for _ in range(2):  # weights of its own would be refused as somebody else's
        with pytest.raises(RuntimeError, match="stopped"):
            trainer(max_epochs=3, callbacks=[drw, deferred, Interrupted()]).fit(module, datamodule=data)
        assert module.loss.weight is None
        assert module.training_loss is module.loss


def test_what_is_refused_keeps_its_own_weights(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, loss=lambda counts: CrossEntropyLoss(counts, weight=[2.0] * 10))
    with pytest.raises(UsageError, match="would replace the class weights"):
        trainer(max_epochs=3, callbacks=[DRW(1)]).fit(module, datamodule=data)
    assert module.loss.weight.tolist() == [2.0] * 10


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (LORTLoss, "`LORTLoss` does not go with class weights"),
        (
            lambda counts: CrossEntropyLoss(counts, weight=[1.0] * 10),
            "`DRW` would replace the class weights given to `CrossEntropyLoss`; leave out one of the two",
        ),
        (ClassBalancedLoss, "`DRW` would replace the class weights given to `ClassBalancedLoss`"),
        (
            BalancedSoftmaxLoss,
            "`DRW` and `BalancedSoftmaxLoss` would both correct .* `model.allow_double_balancing` to",
        ),
    ],
)
def test_losses_that_cannot_be_reweighted_are_refused_before_training(trainer, digits, stage1_module, loss, sentence):
    data, weights = digits(), Weights()
    module = stage1_module(data, loss=loss)
    with pytest.raises(UsageError, match=sentence):
        trainer(callbacks=[DRW(), weights]).fit(module, datamodule=data)
    assert weights.seen == []


def test_a_balanced_sampler_is_refused(trainer, digits, stage1_module):
    data = digits(sampler=ClassBalancedSampler)
    with pytest.raises(UsageError, match=r"`DRW` and `data\.sampler` would both correct"):
        trainer(callbacks=[DRW()]).fit(stage1_module(data), datamodule=data)


def test_double_balancing_may_be_asked_for(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, loss=BalancedSoftmaxLoss, allow_double_balancing=True)
    trainer(callbacks=[DRW(0)]).fit(module, datamodule=data)
    assert module.epochs_trained == 1


def test_a_module_without_a_loss_of_ours_is_refused(trainer, digits):
    with pytest.raises(
        UsageError, match="`DRW` needs a module with a `loss` that takes class weights, but got Lightning"
    ):
        DRW().check(LightningModule(), 3)


def test_a_fraction_needs_a_known_length():
    for max_epochs in (None, -1):
        with pytest.raises(
            UsageError, match=r"`start` 0.8 of `DRW` is a fraction of training: set `trainer.max_epochs`"
        ):
            DRW().first_epoch(max_epochs)
    assert DRW(160).first_epoch(None) == 160
    assert DRW().first_epoch(200) == 160


@pytest.mark.parametrize("start", [-1, -0.1, 1.5, inf, nan])
def test_starts_that_are_no_epochs_are_refused(start):
    with pytest.raises(
        UsageError, match=f"`start` of `DRW` must be a fraction below 1 or a whole epoch, but got {start}"
    ):
        DRW(start)


@pytest.mark.parametrize("beta", [-0.1, 1.0, nan])
def test_betas_out_of_range_are_refused(beta):
    with pytest.raises(UsageError, match=rf"`beta` of `DRW` must lie in \[0, 1\), but got {beta}"):
        DRW(beta=beta)
