"""Features of the training images."""

import pytest
import torch
from lightning.pytorch import Callback
from torch.utils.data import DataLoader

from lt_lightning.errors import UsageError
from lt_lightning.heads import NCMHead
from lt_lightning.modules.training_features import training_features


class Take(Callback):
    """Takes the features in the middle of a run."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 2:
            self.state = {key: tensor.clone() for key, tensor in pl_module.state_dict().items()}
            self.found = training_features(pl_module)
            self.training = (pl_module.training, pl_module.head.training, pl_module.backbone.training)


@pytest.mark.parametrize("bn_mode", ["eval", "train"])
def test_they_are_those_of_evaluation_whatever_goes_on(trainer, digits, stage2_module, bn_mode):
    data, take = digits(eval_batch_size=100), Take()
    module = stage2_module(data, bn_mode=bn_mode)
    trainer(callbacks=[take], limit_train_batches=3).fit(module, datamodule=data)
    features, targets = take.found
    assert take.training == (True, True, False)
    images = data.split("train")
    pixels, expected_targets = images.__getitems__(list(range(276)))
    assert torch.equal(targets, expected_targets)
    module.load_state_dict(take.state)  # statistics of batch normalisation have moved on since, if they do
    expected = module.eval().features(data.to_input(pixels, training=False, generator=None))
    torch.testing.assert_close(features, expected)


def test_they_keep_no_statistics_of_their_own(trainer, digits, stage2_module):
    data = digits()
    module = stage2_module(data, head=NCMHead, bn_mode="train")
    trainer().test(module, datamodule=data, verbose=False)
    before = {key: tensor.clone() for key, tensor in module.backbone.state_dict().items()}
    module.train()
    module.start_from_features()
    assert all(torch.equal(before[key], tensor) for key, tensor in module.backbone.state_dict().items())
    assert module.training


def test_other_data_are_refused_by_name(trainer, digits, stage2_module):
    data = digits()
    images = DataLoader([(torch.zeros(1, 8, 8), 0)], batch_size=1)
    module = stage2_module(data, head=NCMHead)
    with pytest.raises(UsageError, match=r"`model\.head` NCMHead is made from the features .* but got NoneType"):
        trainer().test(module, dataloaders=images, verbose=False)
