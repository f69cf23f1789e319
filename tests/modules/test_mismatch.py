"""The error for a checkpoint of another backbone."""

from pathlib import Path

import pytest
import torch

from lt_lightning import checkpoints
from lt_lightning.backbones import ResNet20, ResNet32, TimmBackbone
from lt_lightning.checkpoints import Checkpoint
from lt_lightning.modules.mismatch import mismatch_error


@pytest.mark.parametrize(
    ("classes", "group", "message"),
    [
        (10, "model.", r"does not fit `model.backbone` ResNet20 \(.*\); it fits ResNet32\.$"),
        (None, "", r"does not fit `backbone` ResNet20 \(.*\); it fits ResNet32\.$"),
    ],
)
def test_the_backbone_that_would_fit_is_named(classes, group, message):
    tensors = ResNet32().state_dict() | {"fc.weight": torch.zeros(10, 64)}
    source = Checkpoint(Path("other.pth"), tensors, "made")
    found = checkpoints.match(source, ResNet20())
    with pytest.raises(ValueError, match=message):
        raise mismatch_error(source, found, checkpoints.deeper_layers(found), ResNet20(), classes, group)


def test_where_nothing_matches_no_part_is_offered():
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        theirs = timm.create_model("vit_tiny_patch16_224").state_dict()
        backbone = TimmBackbone("vit_small_patch16_224")
    source = Checkpoint(Path("other.pth"), theirs, "made")
    said = str(mismatch_error(source, checkpoints.match(source, backbone), [], backbone, None, ""))
    assert said.startswith(
        "`checkpoint` 'other.pth' does not fit `backbone` TimmBackbone(name=\"vit_small_patch16_224\")"
    )
    assert said.endswith("it fits none of the backbones known here.")


def test_of_a_network_that_nobody_knows_a_part_may_be_enough():
    source = Checkpoint(Path("other.pth"), {"conv1.weight": torch.zeros(16, 3, 3, 3)}, "made")
    found = checkpoints.match(source, ResNet20())
    error = mismatch_error(source, found, [], ResNet20(), None, "")
    assert str(error).endswith(
        "it fits none of the backbones known here; set `allow_partial` to true to load what matches."
    )


def test_of_layers_before_the_classifier_it_is_said_what_takes_them_too():
    tensors = {f"net.{key}": tensor for key, tensor in ResNet20().state_dict().items()}
    tensors |= {"neck.weight": torch.zeros(64, 64), "fc.weight": torch.zeros(10, 64)}
    source = Checkpoint(Path("other.pth"), tensors, "made")
    found = checkpoints.match(source, ResNet20())
    extra = checkpoints.unexpected(found, checkpoints.find_classifier(found, 64, 10, source.path))
    said = str(mismatch_error(source, found, extra, ResNet20(), 10, ""))
    assert said.endswith(
        "1 unexpected: 'neck.weight'); it fits none of the backbones known here; give one of your own that has these "
        "layers too, or the whole module to `lt_lightning.retrain`; if what the classifier gets does not pass through "
        "them, set `allow_partial` to true to leave them aside."
    )
