"""What a training step draws."""

from typing import ClassVar

import pytest
import torch
from short_runs import sgd

from lt_lightning.backbones import SmallCNN
from lt_lightning.heads import LinearHead
from lt_lightning.modules import RepresentationModule


class Noting(LinearHead):
    """Keeps a number that each step draws."""

    drawn: ClassVar[list[float]] = []

    def forward(self, features):
        if self.training:
            self.drawn.append(float(torch.rand(())))
        return super().forward(features)


@pytest.fixture
def drawn_by(trainer, digits, stage1_module, monkeypatch):
    """What the steps of two epochs draw in a process of a run with a seed."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")

    def train(rank=0):
        class Process(RepresentationModule):
            global_rank = rank

        monkeypatch.setattr(Noting, "drawn", [])
        data = digits()
        module = Process(data.class_counts, SmallCNN(8), head=Noting, optimizer=sgd)
        trainer(max_epochs=2).fit(module, datamodule=data)
        return Noting.drawn

    return train


def test_each_batch_of_each_epoch_and_process_draws_for_itself(drawn_by):
    first, second = drawn_by(), drawn_by(rank=1)
    assert len({*first, *second}) == 20
    assert drawn_by() == first


def test_each_loss_of_a_batch_draws_for_itself(trainer, digits, monkeypatch):
    """As where a step of one's own holds two passes of one batch against each other."""

    class Twice(RepresentationModule):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) + super().training_step(batch, batch_idx)

    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    monkeypatch.setattr(Noting, "drawn", [])
    data = digits()
    trainer(max_epochs=1).fit(Twice(data.class_counts, SmallCNN(8), head=Noting, optimizer=sgd), datamodule=data)
    assert len(set(Noting.drawn)) == 10


def test_a_run_without_a_seed_draws_what_torch_draws(drawn_by, monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert not set(drawn_by()) & set(drawn_by())


def test_others_numbers_are_none_of_a_steps(drawn_by):
    """Such as a sampler's that shuffles by torch's own, alike in each process."""
    states = []
    for rank in (0, 1):
        torch.manual_seed(3)
        drawn_by(rank)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
