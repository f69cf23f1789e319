"""Stage 1."""

import pytest
import torch

from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss


def test_backbone_and_head_train_together(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    run = trainer()
    run.fit(module, datamodule=data)
    assert [key for key, tensor in module.state_dict().items() if torch.equal(tensor, before[key])] == []
    optimised = {id(parameter) for group in run.optimizers[0].param_groups for parameter in group["params"]}
    assert optimised == {id(parameter) for parameter in module.parameters()}


def test_defaults_are_the_published_recipe(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    run = trainer(max_epochs=2)
    run.fit(module, datamodule=data)
    assert (type(module.head), type(module.loss)) == (LinearHead, CrossEntropyLoss)
    (group,) = run.optimizers[0].param_groups
    assert (group["initial_lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 5e-3)
    assert group["lr"] == pytest.approx(0)  # a cosine that ends with the run


@pytest.mark.slow
def test_a_compiled_backbone_trains_and_keeps_its_keys(trainer, digits, stage1_module):
    data = digits()
    modules = []
    for compiled in (False, True):
        torch.manual_seed(0)
        modules.append(stage1_module(data, compile=compiled))
        trainer(limit_train_batches=2, limit_val_batches=0, num_sanity_val_steps=0).fit(modules[-1], datamodule=data)
    eager, fused = (module.state_dict() for module in modules)
    assert list(eager) == list(fused)
    for key, tensor in eager.items():
        torch.testing.assert_close(fused[key], tensor, rtol=1e-3, atol=1e-4)
