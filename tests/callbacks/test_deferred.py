"""What sets in at an epoch."""

import pytest
from lightning.pytorch import Callback

from lt_lightning.callbacks import DeferredCallback
from lt_lightning.errors import UsageError


class Noting(DeferredCallback):
    def __init__(self, start):
        super().__init__(start)
        self.checked, self.seen = [], []

    def check(self, pl_module, max_epochs, data=None):
        self.checked.append((max_epochs, type(data).__name__))

    def apply(self, trainer, pl_module):
        self.seen.append((trainer.current_epoch, self.started(trainer)))


def test_it_checks_once_and_applies_before_every_epoch(trainer, digits, stage1_module):
    data, noting = digits(batch_size=276), Noting(0.5)
    trainer(max_epochs=4, limit_val_batches=0, callbacks=[noting]).fit(stage1_module(data), datamodule=data)
    assert noting.checked == [(4, "DigitsLT")]
    assert noting.seen == [(0, False), (0, False), (1, False), (2, True), (3, True)]
    assert isinstance(noting, Callback)


def test_testing_is_not_its_business(trainer, digits, stage2_module):
    data, noting = digits(), Noting(1)
    trainer(callbacks=[noting]).test(stage2_module(data), datamodule=data, verbose=False)
    assert noting.checked == noting.seen == []


def test_its_sentences_name_the_callback():
    with pytest.raises(
        UsageError, match=r"`start` of `Noting` must be a fraction below 1 or a whole epoch, but got -1"
    ):
        Noting(-1)
    with pytest.raises(UsageError, match=r"`start` 0.5 of `Noting` is a fraction of training: set"):
        Noting(0.5).first_epoch(-1)


def test_an_epoch_that_does_not_come_is_refused_before_training(trainer, digits, stage1_module):
    data, noting = digits(), Noting(4)
    sentence = r"`start` 4 of `Noting` changes nothing in a run of epochs 0 to 3; give an epoch below `trainer.max"
    with pytest.raises(UsageError, match=sentence):
        trainer(max_epochs=4, callbacks=[noting]).fit(stage1_module(data), datamodule=data)
    assert noting.seen == []
    noting.start = 3
    noting.check_run(trainer(max_epochs=4), stage1_module(data))


@pytest.mark.parametrize(
    "option", [{"fast_dev_run": 1}, {"limit_train_batches": 1}, {"limit_train_batches": 0.5}, {"overfit_batches": 1}]
)
def test_a_trial_run_may_be_shorter(trainer, option):
    noting = Noting(160)
    noting.check_run(trainer(**option), None)
    assert noting.checked == [(1, "NoneType")]


def test_a_fraction_of_too_few_epochs_is_a_warning(trainer):
    with pytest.warns(UserWarning, match=r"`start` 0.8 of `Noting` changes nothing in a run of epochs 0 to 1.*too few"):
        Noting(0.8).check_run(trainer(max_epochs=2), None)


def test_a_run_that_ends_otherwise_is_not_asked(trainer):
    Noting(160).check_run(trainer(max_epochs=-1, max_steps=3), None)
