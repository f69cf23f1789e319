"""Stage 2 with heads that are made from features."""

import pytest
import torch
from short_runs import inputs, names_that_changed, sgd
from torch import nn

from lt_lightning.backbones import SmallCNN
from lt_lightning.heads import DisAlignHead, NCMHead
from lt_lightning.modules import RetrainModule


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_nearest_class_means_are_those_of_the_training_images(trainer, digits, stage2_module, stage, capsys):
    data = digits(eval_batch_size=50)
    module = stage2_module(data, head=lambda d, n: NCMHead(d, n, metric="euclidean"))
    getattr(trainer(), stage)(module, datamodule=data)
    images, targets = inputs(data, "train")
    features = module.features(images)
    for label in range(10):
        torch.testing.assert_close(module.head.means[label], features[targets == label].mean(0), rtol=1e-4, atol=1e-5)
    assert "NCMHead made from the features of 276 training images" in capsys.readouterr().out


def test_nearest_class_means_recognise_digits(trainer, digits, stage2_module):
    data = digits()
    module = stage2_module(data, head=NCMHead)
    trainer().test(module, datamodule=data, verbose=False)
    images, targets = inputs(data, "test")
    expected = (module(images).argmax(1) == targets).float().mean()
    assert module.evaluation["test"]["accuracy"]["micro"] == pytest.approx(float(expected))
    assert expected > 0.3  # the eight features of a two-epoch network; chance is 0.1


class Once(RetrainModule):
    passes = 0

    def start_from_features(self):
        self.passes += 1
        super().start_from_features()


def test_one_pass_serves_all_runs(trainer, digits, stage1):
    data = digits()
    module = Once(data.class_counts, str(stage1), SmallCNN(8), head=NCMHead)
    for _ in range(2):
        trainer().validate(module, datamodule=data, verbose=False)
        trainer().test(module, datamodule=data, verbose=False)
    assert module.passes == 1


class Shrunk(NCMHead):
    """Nearest class means with a scale that trains."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, features):
        return self.scale * super().forward(features)


def test_a_head_that_needs_features_and_trains_gets_them_first(trainer, digits, stage2_module):
    data = digits()
    module = stage2_module(data, head=Shrunk, optimizer=sgd)
    trainer().fit(module, datamodule=data)
    assert bool(module.head.means.isfinite().all())
    assert float(module.head.scale.detach()) > 1.01


@pytest.mark.parametrize("centre", [False, True])
def test_a_checkpoint_of_class_means_needs_no_pass(tmp_path, trainer, digits, stage1, centre):
    def head(d, counts):
        return NCMHead(d, counts, centre=centre)

    data = digits()
    module = Once(data.class_counts, str(stage1), SmallCNN(8), head=head)
    run = trainer()
    run.test(module, datamodule=data, verbose=False)
    run.save_checkpoint(tmp_path / "ncm.ckpt")
    again = Once(data.class_counts, "gone.ckpt", SmallCNN(8), head=head)
    trainer().test(again, datamodule=data, ckpt_path=tmp_path / "ncm.ckpt", verbose=False)
    assert again.passes == 0
    assert not names_that_changed(module.state_dict(), again.state_dict())
    assert str(again.evaluation["test"]["accuracy"]) == str(module.evaluation["test"]["accuracy"])


def test_a_checkpoint_of_aligned_logits_comes_back_to_the_bit(tmp_path, trainer, digits, stage1, stage2_module):
    data = digits()
    module = stage2_module(data, head=DisAlignHead, optimizer=sgd)
    run = trainer(max_epochs=2)
    run.fit(module, datamodule=data)
    run.save_checkpoint(tmp_path / "disalign.ckpt")
    tensors = torch.load(stage1, weights_only=True)["state_dict"]
    assert torch.equal(module.head.weight, tensors["head.weight"])
    start = DisAlignHead(8, data.class_counts)
    start.init_from(tensors["head.weight"], tensors["head.bias"])
    moved = names_that_changed(start.state_dict(), module.head.state_dict())
    assert moved == {"scales", "offsets", "confidence.weight", "confidence.bias"}
    again = stage2_module(data, "gone.ckpt", head=DisAlignHead)
    trainer().test(again, datamodule=data, ckpt_path=tmp_path / "disalign.ckpt", verbose=False)
    assert not names_that_changed(module.state_dict(), again.state_dict())
