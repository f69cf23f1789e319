"""Optimisers and schedules: what is refused before training, and what a Trainer is given."""

import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau

from lt_lightning.errors import UsageError


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"optimizer": lambda p: torch.optim.SGD(p, lr=-1)},
            "`model.optimizer` refuses .*learning rate: -1",
        ),
        (
            {"lr_scheduler": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=0)},
            "`model.lr_scheduler` refuses its values .*total_steps",
        ),
        ({"lr_scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau}, "does not say which figure.*`monitor` val/all"),
    ],
)
def test_values_that_cannot_be_are_found_before_anything_trains(digits, stage1_module, options, sentence):
    """A pipeline asks the same of all its stages before the first one trains."""
    data = digits()
    with pytest.raises(UsageError, match=sentence):
        stage1_module(data, **options).check(data)


def test_a_rate_falls_where_a_figure_no_longer_gets_better(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(
        data,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        lr_scheduler=lambda o: ReduceLROnPlateau(o, "val/all", mode="max", patience=0, threshold=10.0),
    )
    run = trainer(max_epochs=3)
    run.fit(module, datamodule=data)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.1**2)
