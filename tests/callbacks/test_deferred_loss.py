"""Another loss for the first part of training."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from lt_lightning.callbacks import DRW, DeferredLoss
from lt_lightning.errors import UsageError
from lt_lightning.functional import class_balanced_weights
from lt_lightning.heads import CosineHead, LinearHead
from lt_lightning.losses import BalancedSoftmaxLoss, CrossEntropyLoss, LDAMLoss, LGLINRLoss, LORTLoss, Loss
from lt_lightning.samplers import ClassBalancedSampler


class Influence(Loss):
    """Looks at the features, and knows whether it was asked while training."""

    def forward(self, logits, targets, features=None):
        losses = nn.functional.cross_entropy(logits, targets, reduction="none")
        return self.reduce(losses / (features.abs().sum(1) + 1), targets)

    def probabilities(self, logits):
        return torch.softmax(2 * logits, 1)


class Stateful(CrossEntropyLoss):
    def __init__(self, class_counts):
        super().__init__(class_counts)
        self.register_buffer("seen", torch.zeros(()))


class InForce(Callback):
    """Keeps which loss trains each batch, and its class weights."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, *args):
        loss = pl_module.training_loss
        weight = None if loss.weight is None else loss.weight.tolist()
        self.seen.append((trainer.current_epoch, type(loss).__name__, weight))


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


@pytest.mark.parametrize(("start", "first"), [(2, 2), (0.5, 2), (0.75, 3), (0, 0)])
def test_the_loss_comes_with_its_epoch(trainer, digits, stage1_module, start, first):
    data, in_force = digits(batch_size=276), InForce()
    module = stage1_module(data, loss=Influence)
    run = trainer(max_epochs=4, limit_val_batches=0, callbacks=[DeferredLoss(start), in_force])
    run.fit(module, datamodule=data)
    assert in_force.seen == [(epoch, "Influence" if epoch >= first else "CrossEntropyLoss", None) for epoch in range(4)]
    assert module.training_loss is module.loss  # so that it can be trained with again
    assert not any("stand_in" in key for key in module.state_dict())


def test_until_then_training_is_that_of_the_first_loss(trainer, digits, stage1_module):
    final = []
    for callbacks, loss in (([DeferredLoss(9)], Influence), ([], CrossEntropyLoss)):
        torch.manual_seed(0)
        data = digits()
        module = stage1_module(data, loss=loss, optimizer=sgd)
        trainer(callbacks=callbacks, limit_train_batches=4).fit(module, datamodule=data)
        final.append(module)
    assert all(torch.equal(final[0].state_dict()[key], tensor) for key, tensor in final[1].state_dict().items())
    # Probabilities are the module's own loss's, before it starts as after.
    images = torch.rand(3, 1, 8, 8)
    ours, plain = (module.eval().predict_step((images, torch.zeros(3)), 0)["probabilities"] for module in final)
    torch.testing.assert_close(ours, torch.softmax(2 * final[0](images), 1))
    assert not torch.allclose(ours, plain)


def test_class_weights_follow_their_own_schedule(trainer, digits, stage1_module):
    data = digits(batch_size=276)
    balanced = class_balanced_weights(data.class_counts, 0.9999).tolist()
    for callbacks in ([DRW(1), DeferredLoss(2)], [DeferredLoss(2), DRW(1)]):
        in_force = InForce()
        module = stage1_module(data, loss=Influence)
        run = trainer(max_epochs=3, limit_val_batches=0, callbacks=[*callbacks, in_force])
        run.fit(module, datamodule=data)
        expected = [(0, "CrossEntropyLoss", None), (1, "CrossEntropyLoss", balanced), (2, "Influence", balanced)]
        assert in_force.seen == expected


@pytest.mark.parametrize("step", [4, 5, 7])
def test_a_resumed_run_has_the_loss_of_its_epoch(tmp_path, trainer, digits, stage1_module, step):
    runs = []
    for again in (False, True):
        torch.manual_seed(int(again))
        data, in_force = digits(), InForce()
        keep = ModelCheckpoint(tmp_path / str(again), filename="{step}", save_top_k=-1, every_n_train_steps=1)
        checkpoint = tmp_path / "False" / f"step={step}.ckpt" if again else None
        module = stage1_module(data, loss=Influence, optimizer=sgd)
        callbacks = [DeferredLoss(1), DRW(1), in_force, keep]
        run = trainer(max_epochs=2, callbacks=callbacks, enable_checkpointing=True)
        run.fit(module, datamodule=data, ckpt_path=checkpoint)
        runs.append((in_force.seen, module.state_dict()))
    (whole, weights), (resumed, weights_again) = runs
    assert [name for _, name, _ in whole] == ["CrossEntropyLoss"] * 5 + ["Influence"] * 5
    assert resumed == whole[step:]
    assert all(torch.equal(weights_again[key], tensor) for key, tensor in weights.items())


@pytest.mark.parametrize(
    ("options", "before", "sentence"),
    [
        (
            {"loss": LDAMLoss, "head": partial(CosineHead, scale=1.0)},
            CrossEntropyLoss,
            r"`before` CrossEntropyLoss of `DeferredLoss` and `model.loss` LDAMLoss .* multiply logits by 1 and 30",
        ),
        ({}, Stateful, "`before` Stateful of `DeferredLoss` and `model.loss` CrossEntropyLoss .* keeps a state"),
        ({}, partial(CrossEntropyLoss, reduction="none"), '`reduction` "none"'),
    ],
)
def test_losses_that_cannot_hand_over_are_refused_before_training(
    trainer, digits, stage1_module, options, before, sentence
):
    data, in_force = digits(), InForce()
    with pytest.raises(UsageError, match=sentence):
        trainer(callbacks=[DeferredLoss(1, before), in_force]).fit(stage1_module(data, **options), datamodule=data)
    assert in_force.seen == []


def test_a_first_loss_of_the_same_scale_hands_over(trainer, digits, stage1_module):
    data, in_force = digits(batch_size=276), InForce()
    module = stage1_module(data, loss=LDAMLoss, head=partial(CosineHead, scale=1.0))
    without_margin = partial(LDAMLoss, max_margin=0.0)
    trainer(max_epochs=2, callbacks=[DeferredLoss(1, without_margin), in_force]).fit(module, datamodule=data)
    assert [name for _, name, _ in in_force.seen] == ["LDAMLoss"] * 2


def test_a_balanced_sampler_and_a_first_loss_that_balances_are_refused(trainer, digits, stage1_module):
    data = digits(sampler=ClassBalancedSampler)
    with pytest.raises(UsageError, match=r"`before` BalancedSoftmaxLoss of `DeferredLoss` and `data\.sampler` would"):
        trainer(callbacks=[DeferredLoss(1, BalancedSoftmaxLoss)]).fit(stage1_module(data), datamodule=data)


def test_a_loss_that_is_made_already_is_refused():
    with pytest.raises(UsageError, match="`before` must be what makes one, such as the class `CrossEntropyLoss`"):
        DeferredLoss(before=CrossEntropyLoss([3, 2]))


def test_another_module_is_refused():
    with pytest.raises(UsageError, match="`DeferredLoss` needs a module of this package, but got LightningModule"):
        DeferredLoss().check(LightningModule(), 3)


@pytest.mark.parametrize(("loss", "head"), [(LORTLoss, LinearHead), (LGLINRLoss, CosineHead)])
def test_a_first_loss_without_class_weights_makes_room_for_later_ones(trainer, digits, stage1_module, loss, head):
    data = digits(batch_size=276)
    module = stage1_module(data, head=head, allow_double_balancing=True)
    balanced = class_balanced_weights(data.class_counts, 0.9999).tolist()
    in_force = InForce()
    run = trainer(max_epochs=5, limit_val_batches=0, callbacks=[DeferredLoss(0.4, loss), DRW(0.8), in_force])
    run.fit(module, datamodule=data)
    plain = [(epoch, "CrossEntropyLoss", None) for epoch in (2, 3)]
    assert in_force.seen[:2] == [(epoch, loss.__name__, None) for epoch in (0, 1)]
    assert in_force.seen[2:] == [*plain, (4, "CrossEntropyLoss", balanced)]


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        (LORTLoss, "still trains in epoch 1, .* `LORTLoss` does not go with class weights"),
        (partial(CrossEntropyLoss, weight=[2.0] * 10), "`DRW` would replace the class weights given to `CrossEntropyL"),
    ],
)
def test_a_first_loss_that_class_weights_would_reach_is_refused_before_training(
    trainer, digits, stage1_module, before, sentence
):
    data, in_force = digits(batch_size=276), InForce()
    module = stage1_module(data, allow_double_balancing=True)
    run = trainer(max_epochs=3, callbacks=[DeferredLoss(2, before), DRW(1), in_force])
    with pytest.raises(UsageError, match=f"`before` of `DeferredLoss` .*{sentence}"):
        run.fit(module, datamodule=data)
    assert in_force.seen == []


def test_a_first_loss_that_balances_beside_class_weights_is_refused(trainer, digits, stage1_module):
    data = digits(batch_size=276)
    callbacks = [DeferredLoss(2, BalancedSoftmaxLoss), DRW(1)]
    with pytest.raises(UsageError, match="`before` of `DeferredLoss`, BalancedSoftmaxLoss, still trains in epoch 1"):
        trainer(max_epochs=3, callbacks=callbacks).fit(stage1_module(data), datamodule=data)
    module = stage1_module(data, allow_double_balancing=True)
    trainer(max_epochs=3, limit_val_batches=0, callbacks=callbacks).fit(module, datamodule=data)


def test_class_weights_of_a_first_loss_are_its_own(trainer, digits, stage1_module):
    data, in_force = digits(batch_size=276), InForce()
    weighted = partial(CrossEntropyLoss, weight=[2.0] * 10)
    run = trainer(max_epochs=2, limit_val_batches=0, callbacks=[DeferredLoss(1, weighted), DRW(1), in_force])
    run.fit(stage1_module(data), datamodule=data)
    balanced = class_balanced_weights(data.class_counts, 0.9999).tolist()
    assert [weight for _, _, weight in in_force.seen] == [[2.0] * 10, balanced]
