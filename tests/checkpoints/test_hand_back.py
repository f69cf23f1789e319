"""Files that come back with another classifier, each loaded into the network it was saved from."""

from collections import namedtuple

import pytest
import torch
from foreign_files import COUNTS, plain_layer, prefixed, read
from torch import nn

from lt_lightning import checkpoints, heads
from lt_lightning.backbones import ResNet32, SmallCNN
from lt_lightning.checkpoints.hand_back import hand_back
from lt_lightning.checkpoints.leftovers import unexpected
from lt_lightning.checkpoints.past import trained_on
from lt_lightning.errors import UsageError

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Somebody's network, with a last layer of theirs."""

    def __init__(self, bias=True):
        super().__init__()
        self.encoder = SmallCNN(8)
        self.fc = nn.Linear(8, 10, bias=bias)

    def forward(self, images):
        return self.fc(self.encoder(images))


class Factors(nn.Module):
    """MiSLAS's factors of the logits."""

    def __init__(self):
        super().__init__()
        self.learned_norm = nn.Parameter(torch.rand(1, 10) + 0.5)

    def forward(self, logits):
        return self.learned_norm * logits


def stripped(tensors, prefix):
    return {key.removeprefix(prefix): value for key, value in tensors.items()}


Format = namedtuple("Format", ["save", "load"], defaults=[None])
FORMATS = {
    "bare": Format(lambda net: net.state_dict(), lambda contents: contents),
    "data_parallel": Format(
        lambda net: {
            "epoch": 7,
            "state_dict": prefixed(net.state_dict(), "module."),
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
        },
        lambda contents: stripped(contents["state_dict"], "module."),
    ),
    "lightning": Format(
        lambda net: {
            "pytorch-lightning_version": "2.6.0",
            "state_dict": prefixed(net.state_dict(), "model._orig_mod."),
            "hyper_parameters": {"lr": 0.1},
            "callbacks": {},
        },
        lambda contents: stripped(contents["state_dict"], "model._orig_mod."),
    ),
    "with_average": Format(
        lambda net: {"state_dict": net.state_dict(), "state_dict_ema": Net().state_dict()},
        lambda contents: contents["state_dict"],
    ),
    "classifier_balancing": Format(
        lambda net: {
            "state_dict_best": {
                "feat_model": prefixed(net.encoder.state_dict(), "module."),
                "classifier": prefixed(net.fc.state_dict(), "module.fc."),
            },
            "best_acc": 0.4,
        },
        lambda contents: {
            **prefixed(stripped(contents["state_dict_best"]["feat_model"], "module."), "encoder."),
            **stripped(contents["state_dict_best"]["classifier"], "module."),
        },
    ),
}


def our_logits(net, layer, images=IMAGES):
    with torch.no_grad():
        return layer(net.encoder(images))


def flat(node, place=()):
    if isinstance(node, dict):
        return {key: value for name, part in node.items() for key, value in flat(part, (*place, name)).items()}
    return {place: node}


def places_that_changed(before, after):
    before, after = flat(before), flat(after)
    assert list(before) == list(after)  # their order too
    return [
        ".".join(place)
        for place, value in before.items()
        if not (torch.equal(value, after[place]) if isinstance(value, torch.Tensor) else value == after[place])
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_the_network_that_was_saved_gives_our_logits(tmp_path, name):
    net, layer, form = Net().eval(), plain_layer(), FORMATS[name]
    contents = form.save(net)
    torch.save(contents, tmp_path / "theirs.pth")
    found, classifier = read(tmp_path / "theirs.pth")
    said = hand_back(found, classifier, layer, tmp_path / "deep/better.pth")
    assert said.startswith(f"{tmp_path / 'deep/better.pth'}: theirs.pth with a new classifier '{classifier.name}'")

    written = torch.load(tmp_path / "deep/better.pth", weights_only=True)
    changed = places_that_changed(contents, written)
    assert len(changed) == 2
    assert {place.rpartition(".")[2] for place in changed} == {"weight", "bias"}
    assert getattr(written, "_metadata", None) == getattr(contents, "_metadata", None)
    expected = our_logits(net, layer)
    net.load_state_dict(form.load(written))
    torch.testing.assert_close(net(IMAGES), expected, rtol=0, atol=1e-5)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["better.pth"]
    if name == "with_average":
        assert "'state_dict.fc.weight' is replaced, its copies 'state_dict_ema.fc.weight' stay as they were" in said


@pytest.mark.parametrize("flat_factors", [True, False])
def test_factors_beside_a_split_classifier_become_one(tmp_path, flat_factors):
    net, factors, layer = Net().eval(), Factors(), plain_layer()
    name = "lws_model" if flat_factors else "state_dict_lws_model"
    torch.save(
        {
            "state_dict_model": prefixed(net.encoder.state_dict(), "module."),
            "state_dict_classifier": prefixed(net.fc.state_dict(), "module."),
            name: prefixed(factors.state_dict(), "module."),
        },
        tmp_path / "mislas.pth.tar",
    )
    found, classifier = read(tmp_path / "mislas.pth.tar")
    torch.testing.assert_close(our_logits(net, layer) * 0 + net(IMAGES) * factors.learned_norm, factors(net(IMAGES)))
    said = hand_back(found, classifier, layer, tmp_path / "better.pth.tar")
    assert f"factors '{name}.module.learned_norm' are 1" in said
    written = torch.load(tmp_path / "better.pth.tar", weights_only=True)
    expected = our_logits(net, layer)
    net.encoder.load_state_dict(stripped(written["state_dict_model"], "module."))
    net.fc.load_state_dict(stripped(written["state_dict_classifier"], "module."))
    factors.load_state_dict(stripped(written[name], "module."))
    torch.testing.assert_close(factors(net(IMAGES)), expected, rtol=0, atol=1e-5)


def test_safetensors_keep_their_metadata(tmp_path):
    safe_open = pytest.importorskip("safetensors").safe_open
    safetensors = pytest.importorskip("safetensors.torch")
    net, layer = Net().eval(), plain_layer()
    safetensors.save_file(net.state_dict(), tmp_path / "theirs.safetensors", {"format": "pt", "note": "mine"})
    found, classifier = read(tmp_path / "theirs.safetensors")
    hand_back(found, classifier, layer, tmp_path / "better.safetensors")
    with safe_open(tmp_path / "better.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "mine"}
    expected = our_logits(net, layer)
    net.load_state_dict(safetensors.load_file(tmp_path / "better.safetensors"))
    torch.testing.assert_close(net(IMAGES), expected, rtol=0, atol=1e-5)


def test_files_from_before_pytorch_1_6_stay_so(tmp_path):
    torch.save(Net().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    found, classifier = read(tmp_path / "old.pth")
    layer = plain_layer()
    hand_back(found, classifier, layer, tmp_path / "better.pth")
    assert (tmp_path / "better.pth").read_bytes()[:2] == (tmp_path / "old.pth").read_bytes()[:2] != b"PK"
    assert torch.equal(torch.load(tmp_path / "better.pth", weights_only=True)["fc.weight"], layer.weight)


def test_a_bias_that_only_one_of_them_has(tmp_path, backbone, network):
    torch.save(network(backbone, bias=False), tmp_path / "none.pth")
    found, classifier = read(tmp_path / "none.pth", backbone)
    adjusted = heads.LogitAdjustmentHead(8, COUNTS)
    adjusted.init_from(classifier.weight, None)
    with pytest.raises(UsageError, match=r"'fc' without a bias, and the new one needs one \(of up to 4\.93\), which"):
        hand_back(found, classifier, adjusted, tmp_path / "better.pth")
    unbiased = plain_layer()
    nn.init.zeros_(unbiased.bias)
    hand_back(found, classifier, unbiased, tmp_path / "better.pth")
    assert list(torch.load(tmp_path / "better.pth", weights_only=True)) == list(found.source.tensors)

    torch.save(network(backbone), tmp_path / "some.pth")
    found, classifier = read(tmp_path / "some.pth", backbone)
    normed = heads.TauNormHead(8, COUNTS)
    assert "; its bias is 0" in hand_back(found, classifier, normed, tmp_path / "normed.pth")
    written = torch.load(tmp_path / "normed.pth", weights_only=True)
    torch.testing.assert_close(written["fc.weight"].norm(dim=1), torch.ones(10))
    assert torch.equal(written["fc.bias"], torch.zeros(10))


def test_classes_go_back_into_the_order_of_the_file(tmp_path, backbone, network):
    torch.save(network(backbone), tmp_path / "theirs.pth")
    found, classifier = read(tmp_path / "theirs.pth", backbone)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(2)).tolist()
    ordered = classifier.in_order(order[::-1]).in_order([*range(9, -1, -1)])  # twice, to the order above
    assert torch.equal(ordered.weight, classifier.weight[order])
    layer = plain_layer()
    hand_back(found, ordered, layer, tmp_path / "better.pth")
    written = torch.load(tmp_path / "better.pth", weights_only=True)
    assert torch.equal(written["fc.weight"][order], layer.weight)
    assert torch.equal(written["fc.bias"][order], layer.bias)


@pytest.mark.parametrize("key", ["class_names", "classes"])
def test_in_one_step_the_names_of_classes_say_the_order(tmp_path, backbone, network, key):
    names, order = list("abcdefghij"), [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    torch.save({"state_dict": network(backbone), key: names}, tmp_path / "theirs.pth")
    head = heads.LinearHead(8, COUNTS)
    ours = [names[row] for row in order]
    said = checkpoints.hand_back_file(tmp_path / "theirs.pth", SmallCNN(8), head, tmp_path / "better.pth", ours)
    assert said == f"{tmp_path / 'better.pth'}: theirs.pth with a new classifier 'fc'"
    written = torch.load(tmp_path / "better.pth", weights_only=True)["state_dict"]
    assert torch.equal(written["fc.weight"][order], head.weight)
    checkpoints.hand_back_file(tmp_path / "theirs.pth", SmallCNN(8), head, tmp_path / "same.pth", ours, ours)
    written = torch.load(tmp_path / "same.pth", weights_only=True)["state_dict"]
    assert torch.equal(written["fc.weight"], head.weight)


def test_half_precision_stays_and_the_rounding_is_said(tmp_path, backbone, network):
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in network(backbone).items()}
    torch.save(tensors, tmp_path / "half.pth")
    found, classifier = read(tmp_path / "half.pth", backbone)
    layer = plain_layer()
    said = hand_back(found, classifier, layer, tmp_path / "better.pth")
    written = torch.load(tmp_path / "better.pth", weights_only=True)
    assert {key: value.dtype for key, value in written.items()} == {key: v.dtype for key, v in tensors.items()}
    lost = (written["fc.weight"].float() - layer.weight).abs().max().item()
    assert 0 < lost < 1e-3
    assert f"rounded to the file's float16, by {lost:.1e} at most" in said
    with torch.no_grad():
        layer.weight[0, 0] = 1e6
    with pytest.raises(
        UsageError, match=r"`head` has weights that are too large for float16, the type in '.*half.pth'"
    ):
        hand_back(found, classifier, layer, tmp_path / "other.pth")


def test_a_layer_under_two_names_changes_under_both(tmp_path, backbone, network):
    tensors = network(backbone, prefix="model.", classifier="model.fc.")
    tensors["head.weight"], tensors["head.bias"] = tensors["model.fc.weight"], tensors["model.fc.bias"]
    torch.save({"state_dict": tensors}, tmp_path / "theirs.ckpt")
    found, classifier = read(tmp_path / "theirs.ckpt", backbone)
    layer = plain_layer()
    said = hand_back(found, classifier, layer, tmp_path / "better.ckpt")
    written = torch.load(tmp_path / "better.ckpt", weights_only=True)["state_dict"]
    for name in ("model.fc", "head"):
        assert torch.equal(written[f"{name}.weight"], layer.weight)
        assert torch.equal(written[f"{name}.bias"], layer.bias)
    assert "stay as they were" not in said


def test_two_names_side_by_side_are_one_classifier(tmp_path, backbone, network):
    tensors = network(backbone, classifier="fc.")
    tensors["head.weight"], tensors["head.bias"] = tensors["fc.weight"], tensors["fc.bias"]
    tensors["mask"] = torch.eye(3).to_sparse()  # of which nobody asks where it lies in memory
    torch.save(tensors, tmp_path / "theirs.pth")
    found, classifier = read(tmp_path / "theirs.pth", backbone)
    assert unexpected(found, classifier) == ["mask"]
    layer = plain_layer()
    hand_back(found, classifier, layer, tmp_path / "better.pth", allow_partial=True)
    written = torch.load(tmp_path / "better.pth", weights_only=False)  # the other warns of sparse tensors
    assert all(torch.equal(written[f"{name}.weight"], layer.weight) for name in ("fc", "head"))
    assert torch.equal(written["mask"].to_dense(), torch.eye(3))


def test_what_does_not_fit_is_refused(tmp_path, backbone, network):
    torch.save(network(backbone), tmp_path / "theirs.pth")
    found, classifier = read(tmp_path / "theirs.pth", backbone)
    message = "`head` must have 10 classes and 8 features, as the classifier of .* has, but has 10 and 9"
    with pytest.raises(UsageError, match=message):
        hand_back(found, classifier, nn.Linear(9, 10), tmp_path / "better.pth")
    layer = plain_layer()
    nn.init.constant_(layer.weight, torch.nan)
    with pytest.raises(UsageError, match="`head` has weights that are infinite or no numbers"):
        hand_back(found, classifier, layer, tmp_path / "better.pth")


def test_a_network_with_more_than_backbone_and_classifier_is_refused(tmp_path, backbone, network):
    """As the commands do: its logits may be others than those of the new layer."""
    path, better, head = tmp_path / "theirs.pth", tmp_path / "better.pth", heads.LinearHead(8, COUNTS)
    torch.save(network(backbone, classifier="head.") | prefixed(nn.Linear(8, 8).state_dict(), "neck."), path)
    sentence = r"`checkpoint` '.*theirs.pth' does not fit the backbone \(.*2 unexpected: 'neck.weight', .*; give"
    with pytest.raises(UsageError, match=sentence):
        checkpoints.hand_back_file(path, SmallCNN(8), head, better)
    assert not better.exists()
    checkpoints.hand_back_file(path, SmallCNN(8), head, better, allow_partial=True)
    assert torch.equal(torch.load(better, weights_only=True)["head.weight"], head.weight)
    torch.save(network(backbone, classifier="head.") | prefixed(nn.Linear(8, 10).state_dict(), "head_dist."), path)
    with pytest.raises(UsageError, match=r"has a second classifier 'head_dist' beside 'head'"):
        checkpoints.hand_back_file(path, SmallCNN(8), head, tmp_path / "other.pth", allow_partial=True)
    torch.save(dict(list(network(backbone).items())[2:]), path)
    with pytest.raises(UsageError, match=r"does not fit the backbone .*2 missing"):
        checkpoints.hand_back_file(path, SmallCNN(8), head, tmp_path / "other.pth")


def test_no_file_is_written_over_and_none_half(tmp_path, backbone, network, monkeypatch):
    torch.save(network(backbone), tmp_path / "theirs.pth")
    found, classifier = read(tmp_path / "theirs.pth", backbone)
    before = (tmp_path / "theirs.pth").read_bytes()
    with pytest.raises(UsageError, match=r"`output` '.*theirs.pth' already exists and will not be overwritten"):
        hand_back(found, classifier, plain_layer(), tmp_path / "theirs.pth")

    def fail(contents, file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UsageError, match=r"cannot be written \(.*No space left on device\); make room or choose"):
        hand_back(found, classifier, plain_layer(), tmp_path / "new.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.pth"]
    assert (tmp_path / "theirs.pth").read_bytes() == before


def test_a_real_checkpoint_comes_back_as_it_was(tmp_path, shared):
    path, backbone = shared / "checkpoints/resnet32_cifar100_lt100.pth.tar", ResNet32().eval()
    found, classifier = read(path, backbone, classes=100)
    head = heads.LWSHead(64, [10] * 100)
    head.init_from(classifier.weight, classifier.bias)
    nn.init.uniform_(head.scales, 0.5, 2)
    hand_back(found, classifier, head, tmp_path / "better.pth.tar")
    before, after = (torch.load(file, weights_only=True) for file in (path, tmp_path / "better.pth.tar"))
    assert places_that_changed(before, after) == ["state_dict.module.linear.weight", "state_dict.module.linear.bias"]
    backbone.load_state_dict(found.tensors)
    again, theirs = read(tmp_path / "better.pth.tar", ResNet32(), classes=100)
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        features = backbone(images)
        backbone.load_state_dict(again.tensors)
        logits = nn.functional.linear(backbone(images), theirs.weight, theirs.bias)
        torch.testing.assert_close(logits, head.predict(features), rtol=0, atol=1e-5)


def test_a_layer_out_of_a_stack_comes_alone(tmp_path):
    torch.save(Net().state_dict(), tmp_path / "model.pth")
    found = checkpoints.match(checkpoints.read(tmp_path / "model.pth"), SmallCNN(8))
    classifier = checkpoints.find_classifier(found, 8, 10, found.source.path)
    layer = nn.Linear(8, 10)
    layer.weight, layer.bias = nn.Parameter(torch.rand(1000, 10, 8)[3]), nn.Parameter(torch.rand(1000, 10)[3])
    hand_back(found, classifier, layer, tmp_path / "better.pth")
    sizes = [(tmp_path / name).stat().st_size for name in ("model.pth", "better.pth")]
    assert sizes[1] < 1.1 * sizes[0]


@pytest.mark.parametrize("split", ["unknown", None])
def test_a_split_that_is_no_mapping_is_no_record(tmp_path, split):
    torch.save({"state_dict": Net().state_dict(), "lt_lightning": {"split": split}}, tmp_path / "model.ckpt")
    found = checkpoints.match(checkpoints.read(tmp_path / "model.ckpt"), SmallCNN(8))
    classifier = checkpoints.find_classifier(found, 8, 10, found.source.path)
    hashes = {"hashes": {"train": "a"}}
    hand_back(found, classifier, plain_layer(), tmp_path / "better.ckpt", hashes)
    assert checkpoints.read(tmp_path / "better.ckpt").past == [trained_on(hashes)]


def test_a_checkpoint_of_ours_records_what_chose_its_new_head(stage1, tmp_path):
    unknown = "unknown: nobody has said how the new layer was chosen"
    for selection, recorded in (("val: lort of compare", "val: lort of compare"), (None, unknown)):
        path = tmp_path / f"{selection is None}.ckpt"
        checkpoints.hand_back_file(stage1, SmallCNN(8), heads.LinearHead(8, [2] * 10), path, selection=selection)
        assert torch.load(path, weights_only=True)[checkpoints.RECORD]["selection"] == recorded
