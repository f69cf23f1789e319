import pytest
import torch

from lt_lightning.backbones import Identity
from lt_lightning.errors import UsageError
from lt_lightning.modules import on_features


def test_the_backbone_is_handed_out_with_the_checkpoints_weights(digits, stage2_module, stage1):
    module = stage2_module(digits(), channels_last=True)
    inside = module.backbone
    backbone = on_features(module)
    assert backbone is inside
    saved = torch.load(stage1, weights_only=True)["state_dict"]
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, saved[f"backbone.{name}"])
    assert torch.equal(module.head.weight, saved["head.weight"])
    assert isinstance(module.backbone, Identity)
    assert not module.channels_last
    features = torch.randn(3, 8)
    assert torch.equal(module.features(features), features)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"bn_mode": "train"}, '`bn_mode` "train" changes the backbone while training, .*; use "eval" or train on'),
        ({"flip_average": True}, "`flip_average` needs images to mirror"),
    ],
)
def test_what_features_cannot_do_is_refused(options, sentence, digits, stage2_module):
    with pytest.raises(UsageError, match=sentence):
        on_features(stage2_module(digits(), **options))
