"""Positive and negative loss and gradient while training."""

import csv

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.loggers import CSVLogger

from lt_lightning.callbacks import NegativeDistraction
from lt_lightning.errors import UsageError
from lt_lightning.functional.distraction import distraction
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss

NAMES = ("train/positive_loss", "train/negative_loss", "train/gradient_ratio")


def logged(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get(NAMES[0])]


class Recorded(CrossEntropyLoss):
    """Keeps what it is given, and the gradient that comes back."""

    def forward(self, logits, targets, features=None):
        self.seen = getattr(self, "seen", [])
        if logits.requires_grad:
            logits.retain_grad()
            self.seen.append((logits, targets))
        return super().forward(logits, targets, features)


def test_values_are_those_of_the_steps_that_are_logged(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, loss=lambda counts: Recorded(counts, label_smoothing=0.5))
    options = {"logger": CSVLogger(tmp_path, name="", version=""), "log_every_n_steps": 2}
    trainer(callbacks=[NegativeDistraction()], limit_val_batches=0, **options).fit(module, datamodule=data)
    rows = logged(tmp_path)
    assert [int(row["step"]) for row in rows] == [1, 3]
    for row, (logits, targets) in zip(rows, module.loss.seen[1:4:2], strict=True):
        expected = distraction(logits.detach(), targets, logits.grad, one_vs_all=False)
        assert [float(row[name]) for name in NAMES] == pytest.approx([value.item() for value in expected], rel=1e-4)
    assert not module.loss._forward_pre_hooks


def test_a_run_shorter_than_the_interval_has_the_last_batch_of_each_epoch(tmp_path, trainer, digits, stage1_module):
    data = digits(batch_size=100)
    module = stage1_module(data, loss=Recorded)
    options = {"logger": CSVLogger(tmp_path, name="", version=""), "log_every_n_steps": 50}
    callbacks = [NegativeDistraction()]
    trainer(max_epochs=2, callbacks=callbacks, limit_val_batches=0, **options).fit(module, datamodule=data)
    assert logged(tmp_path) == []
    names = [f"{name}_epoch_end" for name in NAMES]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[names[0]]]
    assert [int(row["epoch"]) for row in rows] == [0, 1]
    for row, (logits, targets) in zip(rows, module.loss.seen[2::3], strict=True):
        expected = distraction(logits.detach(), targets, logits.grad, one_vs_all=False)
        assert [float(row[name]) for name in names] == pytest.approx([value.item() for value in expected], rel=1e-4)


def test_one_vs_all_losses_are_recognised(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, loss=lambda counts: ClassBalancedLoss(counts, kind="sigmoid"))
    options = {"logger": CSVLogger(tmp_path, name="", version=""), "log_every_n_steps": 1}
    trainer(callbacks=[NegativeDistraction()], limit_val_batches=0, **options).fit(module, datamodule=data)
    ratios = [float(row[NAMES[2]]) for row in logged(tmp_path)]
    assert len(ratios) == 5
    assert max(ratios) < 0.5  # nine negative classes to a positive one


def test_a_failed_run_leaves_no_hook(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)

    class Failing(NegativeDistraction):
        def on_train_batch_end(self, *args):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        trainer(callbacks=[Failing()]).fit(module, datamodule=data)
    assert not module.loss._forward_pre_hooks


def test_another_module_is_refused():
    with pytest.raises(UsageError, match="`NegativeDistraction` needs a module with a `loss` of this package"):
        NegativeDistraction().setup(None, LightningModule(), "fit")


def test_multi_label_targets_are_left_out():
    callback, loss = NegativeDistraction(), CrossEntropyLoss([5, 3])
    callback.watch(loss)
    logits = torch.zeros(2, 2, requires_grad=True)
    callback._note(loss, (logits, torch.ones(2, 2)), {})
    logits.sum().backward()
    assert callback._found is None
    loss(logits * 1, targets=torch.tensor([0, 1])).backward()
    assert callback._found.gradient_ratio.item() == pytest.approx(1.0)


def test_a_loss_that_stands_in_is_watched_in_its_place(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    module.train_with(ClassBalancedLoss(data.class_counts, kind="sigmoid"))
    options = {"logger": CSVLogger(tmp_path, name="", version=""), "log_every_n_steps": 5}
    trainer(callbacks=[NegativeDistraction()], limit_val_batches=0, **options).fit(module, datamodule=data)
    (row,) = logged(tmp_path)
    assert float(row[NAMES[2]]) < 0.5
