"""The error for a checkpoint of another backbone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone, ResNet20, ResNet32, SmallCNN, TimmBackbone, TorchvisionBackbone
from lt_lightning.checkpoints import Checkpoint
from lt_lightning.checkpoints.leftovers import unexpected
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


def test_a_backbone_that_the_checkpoint_names_is_said():
    named = {"class_path": "lt_lightning.backbones.SmallCNN", "init_args": {"num_features": 8, "in_channels": 1}}
    source = Checkpoint(Path("last.ckpt"), SmallCNN(8).state_dict(), "made", backbone=named)
    said = str(mismatch_error(source, checkpoints.match(source, SmallCNN(4)), [], SmallCNN(4), 10, ""))
    assert said.endswith(
        "; the checkpoint names its own backbone, SmallCNN(num_features=8, in_channels=1), which `compare` takes if "
        "given none; give that one, or set `allow_partial` to true to load what matches."
    )
    given = ResNet20()
    source = replace(
        source, tensors=ResNet20().state_dict(), backbone={"class_path": "lt_lightning.backbones.ResNet20"}
    )
    given.register_buffer("more", torch.zeros(1))  # the class has changed since
    said = str(mismatch_error(source, checkpoints.match(source, given), [], given, 10, ""))
    assert "names its own" not in said


class Wide(Backbone):
    """Its settings are no plain words or numbers."""

    def __init__(self, widths=(4, 8), root=None):
        super().__init__()
        self.widths, self.root, self.num_features = widths, root, widths[-1]
        self.layer = torch.nn.Linear(*widths)

    def forward(self, images):
        return self.layer(images)


def test_the_backbone_that_was_given_is_not_advised():
    def said(**settings):
        named = {"class_path": "mine.Wide", "init_args": settings}
        source = Checkpoint(Path("last.ckpt"), {"layer.weight": torch.zeros(8, 5)}, "made", backbone=named)
        given = Wide((4, 8), Path("here"))
        return str(mismatch_error(source, checkpoints.match(source, given), [], given, 10))

    assert "names its own" not in said(widths=[4, 8], root="here")
    assert said(widths=[5, 8], root=None).endswith(
        "names its own backbone, Wide(widths=[5, 8], root=None), which `compare` takes if given none; give that one."
    )


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
    assert said.endswith("; no built-in backbone fits it.")


def test_of_a_network_that_nobody_knows_a_part_may_be_enough():
    source = Checkpoint(Path("other.pth"), {"conv1.weight": torch.zeros(16, 3, 3, 3)}, "made")
    found = checkpoints.match(source, ResNet20())
    error = mismatch_error(source, found, [], ResNet20(), None, "")
    assert str(error).endswith("; no built-in backbone fits it; set `allow_partial` to true to load what matches.")


def test_of_layers_before_the_classifier_it_is_said_what_takes_them_too():
    tensors = {f"net.{key}": tensor for key, tensor in ResNet20().state_dict().items()}
    tensors |= {"neck.weight": torch.zeros(64, 64), "fc.weight": torch.zeros(10, 64)}
    source = Checkpoint(Path("other.pth"), tensors, "made")
    found = checkpoints.match(source, ResNet20())
    extra = unexpected(found, checkpoints.find_classifier(found, 64, 10, source.path))
    said = str(mismatch_error(source, found, extra, ResNet20(), 10, ""))
    assert said.endswith(
        "1 unexpected: 'neck.weight'); no built-in backbone fits it; give one of your own that has these layers "
        "too, or the whole module to `lt_lightning.retrain`; if what the classifier gets does not pass through "
        "them and they add nothing to the logits, set `allow_partial` to true to leave them aside."
    )


@pytest.mark.parametrize(
    ("name", "size", "advice"),
    [
        ("vit_tiny_patch16_224", 48, "give `model.backbone.options.img_size` 48."),
        ("deit_tiny_distilled_patch16_224", 32, "give `model.backbone.options.img_size` 32."),  # two tokens more
        ("vit_small_patch14_reg4_dinov2", 56, "give `model.backbone.options.img_size` 56."),  # none has an embedding
        ("swin_tiny_patch4_window7_224", 32, "give that size as `model.backbone.options.img_size`."),
    ],
)
def test_a_transformer_of_other_images_is_not_loaded_in_part_but_made_for_them(name, size, advice):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        tensors = timm.create_model(name, img_size=size, num_classes=10).state_dict()
        backbone, fitting = TimmBackbone(name), TimmBackbone(name, options={"img_size": size})
    source = Checkpoint(Path("other.pth"), {f"net.{key}": tensor for key, tensor in tensors.items()}, "made")
    said = str(mismatch_error(source, checkpoints.match(source, backbone), [], backbone, 10))
    assert said.endswith(f"its position embeddings are of a network for images of another size: {advice}")
    assert "allow_partial" not in said
    assert not checkpoints.match(source, fitting).misshapen


def test_for_torchvisions_transformers_of_other_images_a_backbone_of_ones_own_is_named():
    with torch.device("meta"):
        tensors = torchvision.models.vit_b_16(image_size=32).state_dict()
        backbone = TorchvisionBackbone("vit_b_16")
    source = Checkpoint(Path("other.pth"), tensors, "made")
    said = str(mismatch_error(source, checkpoints.match(source, backbone), [], backbone, None, ""))
    assert said.endswith("images of another size: give a backbone of your own that is made for that size.")


def test_the_side_of_images_that_are_no_squares_is_not_guessed():
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        tensors = timm.create_model("vit_tiny_patch16_224", img_size=(32, 48), num_classes=0).state_dict()
        backbone = TimmBackbone("vit_tiny_patch16_224")
    source = Checkpoint(Path("other.pth"), tensors, "made")
    said = str(mismatch_error(source, checkpoints.match(source, backbone), [], backbone, None, ""))
    assert said.endswith("give that size as `backbone.options.img_size`.")
