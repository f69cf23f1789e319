"""Training that diverges ends in a sentence, and leaves the last checkpoint that was fine."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lt_lightning.errors import UsageError
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss, LogisticLoss
from lt_lightning.modules.divergence import check_finite


def test_a_run_that_diverges_keeps_the_checkpoint_of_the_epoch_before(tmp_path, trainer, digits, stage1_module):
    class SpoiltLater(CrossEntropyLoss):
        """NaN from the second epoch on."""

        batches = 0

        def forward(self, logits, targets, features=None):
            self.batches += 1
            return super().forward(logits, targets) * (torch.nan if self.batches > 5 else 1.0)

    module = stage1_module(data := digits(), loss=SpoiltLater)
    last = ModelCheckpoint(tmp_path, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    run = trainer(max_epochs=3, callbacks=[last], enable_checkpointing=True)
    with pytest.raises(UsageError, match=r"diverged: after epoch 1 weights are .*, `backbone\..*` the first of them"):
        run.fit(module, datamodule=data)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert kept["epoch"] == 0
    assert all(bool(tensor.isfinite().all()) for tensor in kept["state_dict"].values())


def test_a_run_whose_logits_are_no_numbers_ends(trainer, digits, stage1_module):
    class Still(torch.optim.SGD):
        """Leaves weights as they are."""

        def step(self, closure=None):
            return closure()

    module = stage1_module(data := digits(), optimizer=Still)
    with torch.no_grad():
        module.head.weight.copy_(1e38 * torch.randn(10, 8).sign())  # numbers, whose products are none
        for parameter in module.backbone.parameters():
            parameter.mul_(100)
    with pytest.raises(UsageError, match="diverged: in epoch 0 the network's logits of validation images are infinite"):
        trainer().fit(module, datamodule=data)


@pytest.mark.parametrize(("value", "ends"), [(torch.inf, True), (-torch.inf, False)])
def test_infinite_logits_end_it_where_probabilities_are_numbers_and_classes_may_be_ruled_out(
    trainer, digits, stage1_module, value, ends
):
    class Fixed(LinearHead):
        """One class always has the same logit."""

        def forward(self, features):
            return super().forward(features).index_fill(1, torch.tensor([3]), value)

    class OfOthers(LogisticLoss):
        """Without the class that is never there."""

        def forward(self, logits, targets, features=None):
            others = torch.arange(10) != 3
            kept = others[targets]
            return super().forward(logits[kept].where(others, 0.0), targets[kept])

    module = stage1_module(data := digits(), loss=OfOthers, head=Fixed)
    if not ends:
        trainer().fit(module, datamodule=data)
        return
    with pytest.raises(UsageError, match="the network's logits of validation images are infinite"):
        trainer().fit(module, datamodule=data)


def test_weights_that_are_numbers_pass_and_frozen_ones_are_not_asked(digits, stage1_module):
    module = stage1_module(digits())
    check_finite(module)
    with torch.no_grad():
        module.head.bias[3] = torch.inf
    with pytest.raises(UsageError, match=r"`head\.bias` the first of them"):
        check_finite(module)
    module.head.bias.requires_grad_(False)
    check_finite(module)
    module.requires_grad_(False)
    check_finite(module)


def test_weights_that_are_no_numbers_can_be_evaluated(trainer, digits, stage1_module):
    module = stage1_module(data := digits())
    with torch.no_grad():
        module.head.weight.fill_(torch.nan)
    (found,) = trainer().test(module, datamodule=data, verbose=False)
    assert found["test/all"] == 0
    assert found["test/ece"] != found["test/ece"]
