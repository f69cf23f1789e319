import torch

from lt_lightning.backbones import Identity


def test_features_pass_unchanged():
    backbone = Identity(5)
    features = torch.randn(3, 5)
    assert backbone(features) is features
    assert backbone.num_features == 5
    assert not list(backbone.parameters())
