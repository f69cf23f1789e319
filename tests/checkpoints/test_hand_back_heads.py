"""Our own heads, in a file that is read and into one that is handed back: which of them it can take."""

import pytest
import torch
from foreign_files import COUNTS, plain_layer, prefixed, read
from torch import nn

from lt_lightning import checkpoints, heads
from lt_lightning.checkpoints.hand_back import hand_back
from lt_lightning.errors import UsageError
from lt_lightning.main import main


def test_our_own_checkpoint_comes_back_as_one(tmp_path, stage1, tiny, here):
    found, classifier = read(stage1)
    layer = plain_layer()
    hand_back(found, classifier, layer, tmp_path / "better.ckpt")
    before, after = (torch.load(path, weights_only=True) for path in (stage1, tmp_path / "better.ckpt"))
    changed = {
        key for key in before["state_dict"] if not torch.equal(before["state_dict"][key], after["state_dict"][key])
    }
    assert changed == {"head.weight", "head.bias"}
    assert after["lt_lightning"].pop("selection") == "unknown: nobody has said how the new layer was chosen"
    assert before["lt_lightning"] == after["lt_lightning"]
    main(tiny("test", "RepresentationModule", f"--ckpt_path={tmp_path / 'better.ckpt'}"))
    assert list(here.rglob("results.json"))


def test_images_that_only_the_new_head_has_seen_are_recorded(tmp_path, stage1):
    """Else they would pass for unseen where the file is compared on them."""
    found, classifier = read(stage1)
    own = torch.load(stage1, weights_only=True)["lt_lightning"]["split"]
    splits = {"same": own, "more": {"hashes": {"train": "of more images"}}}
    for name, split in splits.items():
        hand_back(found, classifier, plain_layer(), tmp_path / f"{name}.ckpt", split)
    past = {name: checkpoints.read(tmp_path / f"{name}.ckpt").past for name in splits}
    assert past == {"same": [], "more": [{"weights": "file", "train": "of more images"}]}


@pytest.mark.parametrize("name", ["LinearHead", "LWSHead", "MaxNormHead"])
def test_our_own_heads_predict_what_they_are_given(backbone, tmp_path, name):
    head, layer = getattr(heads, name)(8, COUNTS), plain_layer()
    if name == "LWSHead":
        nn.init.uniform_(head.scales, 0.5, 2)
    save_ours(tmp_path / "ours.ckpt", backbone, head)
    found, classifier = read(tmp_path / "ours.ckpt", backbone)
    hand_back(found, classifier, layer, tmp_path / "better.ckpt")
    head.load_state_dict(stripped_head(torch.load(tmp_path / "better.ckpt", weights_only=True)))
    features = torch.randn(5, 8)
    torch.testing.assert_close(head.predict(features), layer(features), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("LogitAdjustmentHead", "has a LogitAdjustmentHead, which makes something else of the weights"),
        ("TauNormHead", "has a TauNormHead, which makes something else of the weights"),
        ("CosineHead", "has a classifier 'head' that is not linear"),
        ("DisAlignHead", "has a classifier 'head' that is not linear"),
    ],
)
def test_heads_that_would_change_it_are_refused(backbone, tmp_path, name, reason):
    save_ours(tmp_path / "ours.ckpt", backbone, getattr(heads, name)(8, COUNTS))
    found, classifier = read(tmp_path / "ours.ckpt", backbone)
    layer = plain_layer(bias=False)
    with pytest.raises(UsageError, match=f"{reason}.*; hand it back as a Lightning checkpoint"):
        hand_back(found, classifier, layer, tmp_path / "better.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["ours.ckpt"]


def test_a_head_of_ones_own_is_not_known_to_be_linear(backbone, tmp_path):
    save_ours(tmp_path / "ours.ckpt", backbone, heads.LinearHead(8, COUNTS), class_path="mine.NormHead")
    found, classifier = read(tmp_path / "ours.ckpt", backbone)
    with pytest.raises(UsageError, match=r"own, NormHead, which may make .*; hand it back as a Lightning checkpoint"):
        hand_back(found, classifier, plain_layer(bias=False), tmp_path / "better.ckpt")


def test_a_classifier_with_more_than_weight_and_bias_is_not_known_to_be_linear(backbone, network, tmp_path):
    torch.save(network(backbone) | {"fc.sigma": torch.ones(1)}, tmp_path / "theirs.pth")
    found, classifier = read(tmp_path / "theirs.pth", backbone)
    with pytest.raises(UsageError, match=r"more to it, which may make .* though 'fc.sigma' beside .*; hand it back as"):
        hand_back(found, classifier, plain_layer(), tmp_path / "better.pth")


class Doubled(heads.LinearHead):
    """Has the layer of what it is derived from, and makes more of it."""

    def forward(self, features):
        return 2 * super().forward(features)


class Whole(Doubled):
    """Says what it comes to."""

    def to_linear(self):
        layer = super().to_linear()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(2)
        return layer


class Forgetful(Whole):
    """Predicts with a shift that its own layer lacks."""

    def predict(self, features):
        return self(features) + torch.arange(self.num_classes)


def test_a_head_that_predicts_otherwise_than_its_layer_is_refused(backbone, network, tmp_path):
    torch.save(network(backbone), tmp_path / "theirs.pth")
    found, classifier = read(tmp_path / "theirs.pth", backbone)
    for head in (Doubled(8, COUNTS), Forgetful(8, COUNTS)):
        name = type(head).__name__
        with pytest.raises(UsageError, match=f"`{name}` predicts something else than its `to_linear`, so no linear"):
            hand_back(found, classifier, head, tmp_path / "better.pth")
    head = Whole(8, COUNTS)
    hand_back(found, classifier, head, tmp_path / "better.pth")
    assert head.training
    _, again = read(tmp_path / "better.pth", backbone)
    torch.testing.assert_close(again.weight, 2 * head.weight.detach())


class Columns(heads.Head):
    """Keeps its weight the other way round."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.columns = nn.Parameter(torch.randn(in_features, self.num_classes + 1))

    def forward(self, features):
        return features @ self.columns[:, 1:] + self.columns[0, 0]

    def to_linear(self):
        layer = nn.Linear(self.in_features, self.num_classes)
        layer.weight = nn.Parameter(self.columns.detach()[:, 1:].t())
        layer.bias = nn.Parameter(self.columns.detach()[0, 0].expand(self.num_classes))
        return layer


def test_a_layer_that_is_a_view_goes_into_any_file(backbone, network, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    torch.save(network(backbone), tmp_path / "theirs.pth")
    safetensors.save_file(network(backbone), tmp_path / "theirs.safetensors")
    head = Columns(8, COUNTS)
    for name in ("pth", "safetensors"):
        found, classifier = read(tmp_path / f"theirs.{name}", backbone)
        hand_back(found, classifier, head, tmp_path / f"better.{name}")
        _, again = read(tmp_path / f"better.{name}", backbone)
        assert torch.equal(again.weight, head.columns.detach()[:, 1:].t())
        assert torch.equal(again.bias, head.columns.detach()[0, :1].expand(10))


def save_ours(path, backbone, head, class_path=None):
    tensors = prefixed(backbone.state_dict(), "backbone.") | prefixed(head.state_dict(), "head.")
    kind = class_path or f"lt_lightning.heads.{type(head).__name__}"
    arguments = {"head": {"class_path": kind, "init_args": {}}}
    record = {"class_counts": COUNTS}
    torch.save({"state_dict": tensors, "hyper_parameters": arguments, checkpoints.RECORD: record}, path)


def stripped_head(contents):
    tensors = contents["state_dict"]
    return {key.removeprefix("head."): value for key, value in tensors.items() if key.startswith("head.")}


def test_disalign_of_others_and_ldam_cosines_are_refused(tmp_path, backbone):
    tensors = prefixed(backbone.state_dict(), "encoder.")
    aligned = {"fc.weight": torch.rand(10, 8), "fc.scales": torch.rand(10), "fc.offsets": torch.rand(10)}
    for number, classifier in enumerate((aligned, {"fc.weight": torch.rand(8, 10)})):
        torch.save({**tensors, **classifier}, tmp_path / f"{number}.pth")
        found, classifier = read(tmp_path / f"{number}.pth", backbone)
        with pytest.raises(UsageError, match="has a classifier 'fc' that is not linear"):
            hand_back(found, classifier, plain_layer(False), tmp_path / "better.pth")


@pytest.mark.parametrize("head", ["CosineHead", "NCMHead", "DisAlignHead"])
def test_heads_without_a_linear_form_are_refused(tmp_path, backbone, network, head):
    torch.save(network(backbone), tmp_path / "theirs.pth")
    found, classifier = read(tmp_path / "theirs.pth", backbone)
    message = f"`{head}`.* equals no plain linear layer: .*, so no linear layer can stand for it; hand it back as"
    with pytest.raises(UsageError, match=message):
        hand_back(found, classifier, getattr(heads, head)(8, COUNTS), tmp_path / "better.pth")
