"""What sets in at an epoch."""

from contextlib import nullcontext

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint

from lt_lightning.callbacks import DeferredCallback
from lt_lightning.errors import UsageError
from lt_lightning.schedules import CosineLR


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


@pytest.mark.filterwarnings("ignore:.*overriding `LightningModule.optimizer_:UserWarning")  # of Lightning's callback
@pytest.mark.parametrize(
    ("start", "options", "comes"),
    [
        (1, {}, True),  # five batches make an epoch
        (2, {}, False),
        (2, {"accumulate_grad_batches": 2}, True),
        (3, {"accumulate_grad_batches": 2}, False),
        (3, {"callbacks": [GradientAccumulationScheduler({1: 5})]}, True),
    ],
)
def test_an_epoch_that_steps_do_not_suffice_for_is_a_warning(trainer, digits, stage1_module, start, options, comes):
    data, noting = digits(), Noting(start)
    callbacks = [noting, *options.get("callbacks", [])]
    run = trainer(max_epochs=4, max_steps=9, **{**options, "callbacks": callbacks})
    module = stage1_module(data, lr_scheduler=lambda o: CosineLR(o, epochs=2))
    sentence = rf"^`start` {start} of `Noting` changes nothing in .* `trainer.max_steps` 9 ends before epoch {start};"
    with nullcontext() if comes else pytest.warns(UserWarning, match=sentence):
        run.fit(module, datamodule=data)  # and where it comes, a warning would be an error
    assert noting.seen[-1][1] == comes


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint need to be provided:UserWarning")
@pytest.mark.parametrize(
    ("name", "start", "batch_size", "options", "comes"),  # five batches of 64 make an epoch, eighteen of 16
    [
        ("end step=10", 1, 16, {"max_steps": 15}, True),  # in force before
        ("end step=5", 2, 16, {"max_steps": 37}, True),  # Lightning goes on with epoch 0
        ("end step=5", 2, 16, {"max_steps": 36}, False),
        ("end step=5", 2, 64, {"max_steps": 7, "accumulate_grad_batches": 5}, True),
        ("end step=5", 2, 64, {"max_steps": 6, "accumulate_grad_batches": 5}, False),
        ("step=5", 2, 64, {"max_steps": 9, "accumulate_grad_batches": 2}, True),
        ("step=5", 2, 64, {"max_steps": 8, "accumulate_grad_batches": 2}, False),
        ("step=3", 1, 64, {"max_steps": 6}, True),
        ("step=3", 1, 64, {"max_steps": 5}, False),
        ("step=2", 1, 64, {"max_steps": 5, "accumulate_grad_batches": 2}, True),
        ("step=2", 1, 64, {"max_steps": 4, "accumulate_grad_batches": 2}, False),
    ],
)
def test_a_resumed_run_is_asked_for_its_steps_from_where_it_stands(
    tmp_path, trainer, digits, stage1_module, name, start, batch_size, options, comes
):
    def fit(batch_size, callbacks, ckpt_path=None, **options):
        data = digits(batch_size=batch_size)
        module = stage1_module(data, lr_scheduler=lambda o: CosineLR(o, epochs=1))
        trainer(callbacks=callbacks, **options).fit(module, datamodule=data, ckpt_path=ckpt_path)

    steps = ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=1)
    ends = ModelCheckpoint(tmp_path, filename="end {step}", save_top_k=-1, save_on_train_epoch_end=True)
    fit(64, [steps, ends], max_epochs=2, enable_checkpointing=True)
    noting = Noting(start)
    with nullcontext() if comes else pytest.warns(UserWarning, match=rf"ends before epoch {start};"):
        fit(batch_size, [noting], tmp_path / f"{name}.ckpt", max_epochs=4, **options)
    assert noting.seen[-1][1] == comes


def test_a_trial_run_may_have_too_few_steps(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, lr_scheduler=lambda o: CosineLR(o, epochs=2))
    run = trainer(max_epochs=4, max_steps=9, limit_train_batches=4, callbacks=[Noting(3)])
    run.fit(module, datamodule=data)
    assert run.global_step == 9  # and no warning, which would be an error here


def test_a_fraction_that_steps_do_not_suffice_for_is_a_warning(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, lr_scheduler=lambda o: CosineLR(o, epochs=2))
    run = trainer(max_epochs=4, max_steps=9, callbacks=[Noting(0.8)])
    with pytest.warns(UserWarning, match=r"^`start` 0.8 of `Noting` .* 9 ends before epoch 3: .* `trainer.max_epochs`"):
        run.fit(module, datamodule=data)
    assert run.global_step == 9
