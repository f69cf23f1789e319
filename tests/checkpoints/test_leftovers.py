"""Layers between backbone and classifier are told from branches of their own."""

from pathlib import Path

import pytest
import torch
import torchvision

from lt_lightning import checkpoints
from lt_lightning.backbones import SmallCNN, TorchvisionBackbone
from lt_lightning.checkpoints.leftovers import unexpected

NORM = {f"{name}": (8,) for name in ("weight", "bias", "running_mean", "running_var")}


@pytest.fixture
def left_over(backbone, in_memory):
    """What is unexpected in a network with a backbone `net`, a classifier and more, given by names and shapes."""

    def make(more, start="", classifier="classifier."):
        tensors = {f"{start}net.{key}": value for key, value in backbone.state_dict().items()}
        tensors |= {f"{start}{key}": torch.ones(shape) for key, shape in more.items()}
        tensors[f"{start}{classifier}weight"] = torch.ones(10, 8)
        found = checkpoints.match(in_memory(tensors), backbone)
        return unexpected(found, checkpoints.find_classifier(found, 8, 10, Path("x")))

    return make


def test_hidden_layers_behind_the_backbone_are_unexpected(in_memory):
    backbone = SmallCNN(8)
    tensors = {**backbone.state_dict(), "fc.0.weight": torch.ones(8, 8), "fc.2.weight": torch.ones(10, 8)}
    found = checkpoints.match(in_memory(tensors), backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, Path("x"))
    assert classifier.name == "fc.2"
    assert unexpected(found, classifier) == ["fc.0.weight"]


def test_layers_before_it_in_its_sequence_are_unexpected_outside_the_backbones_prefix_too(backbone, in_memory):
    tensors = {f"net.{key}": value for key, value in backbone.state_dict().items()}
    tensors |= {"fc.0.weight": torch.ones(8, 8), "fc.1.bias": torch.ones(8), "fc.3.weight": torch.ones(10, 8)}
    tensors |= {"fc.4.weight": torch.ones(10), "aux.0.weight": torch.ones(8, 8), "aux.2.weight": torch.ones(4, 8)}
    found = checkpoints.match(in_memory(tensors), backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, Path("x"))
    assert unexpected(found, classifier) == ["fc.0.weight", "fc.1.bias"]


@pytest.mark.parametrize("start", ["", "module."])
@pytest.mark.parametrize(
    "layers",
    [
        {"neck.weight": (8, 8), "neck.bias": (8,)},
        {"neck.0.weight": (32, 8), "neck.0.bias": (32,), "neck.2.weight": (8, 32), "neck.2.bias": (8,)},
        {f"bnneck.{name}": shape for name, shape in NORM.items()},
        {"bnneck.running_mean": (8,), "bnneck.running_var": (8,)},
        {"norm.weight": (8,), "norm.bias": (8,)},
        {"neck.bias": (8,), "neck.parametrizations.weight.original0": (8, 1)}
        | {"neck.parametrizations.weight.original1": (8, 8)},
        {"neck.conv.weight": (8, 8, 1, 1)} | {f"neck.bn.{name}": shape for name, shape in NORM.items()},
        {"attention.in_proj_weight": (24, 8), "attention.out_proj.weight": (8, 8), "attention.out_proj.bias": (8,)},
    ],
)
def test_a_part_that_ends_as_wide_as_the_classifiers_input_is_unexpected(left_over, start, layers):
    assert left_over(layers, start) == [f"{start}{key}" for key in layers]


MLP = {"proj.0.weight": (32, 8), "proj.3.weight": (32, 32), "proj.6.weight": (8, 32), "proj.12.weight": (4, 8)}


@pytest.mark.parametrize(
    ("layers", "refused"),
    [
        (MLP, False),
        (MLP | {"proj.6.weight": (16, 32), "proj.12.weight": (8, 16)}, True),
        ({"mlp.fc1.weight": (8, 8), "mlp.fc2.weight": (4, 8)}, False),
        ({"mlp.fc9.weight": (4, 8), "mlp.fc10.weight": (8, 4)}, True),
        ({"neck.blocks.9.out.weight": (8, 8), "neck.blocks.10.out.weight": (4, 8)}, False),
        # Words tell no order: what may be a neck is refused.
        ({"neck.reduce.weight": (4, 8), "neck.expand.weight": (8, 4)}, True),
        ({"neck.conv.weight": (8, 8, 3, 3), "neck.bn.weight": (8,)}, True),
        ({"attention.in_proj_weight": (24, 8), "attention.out_proj.weight": (8, 8)}, True),
        ({"aux.hidden.weight": (16, 8), "aux.out.weight": (10, 16)}, False),
    ],
)
def test_in_a_file_sorted_by_name_numbers_say_which_layer_is_the_last(tmp_path, backbone, layers, refused):
    safetensors = pytest.importorskip("safetensors.torch")
    tensors = {f"net.{key}": value for key, value in backbone.state_dict().items()}
    tensors |= {key: torch.ones(shape) for key, shape in layers.items()} | {"classifier.weight": torch.ones(10, 8)}
    safetensors.save_file(tensors, tmp_path / "x.safetensors")
    found = checkpoints.match(checkpoints.read(tmp_path / "x.safetensors"), backbone)
    extra = unexpected(found, checkpoints.find_classifier(found, 8, 10, Path("x")))
    assert set(extra) == (set(layers) if refused else set())


@pytest.mark.parametrize("layers", [{"neck.a.weight": (4, 8)}, {"neck.norm.weight": (4,)}])
def test_in_any_other_file_layers_stand_in_its_order(left_over, layers):
    assert left_over({"neck.b.weight": (8, 8)} | layers) == []
    assert left_over(layers | {"neck.b.weight": (8, 8)}) == [*layers, "neck.b.weight"]


@pytest.mark.parametrize("name", ["projector", "predictor", "decoder", "projection_head", "target_embedding", "ema"])
def test_no_name_makes_a_branch(left_over, name):
    assert left_over({f"{name}.weight": (8, 8)}) == [f"{name}.weight"]


def test_what_stands_beside_a_copy_of_the_backbone_is_the_copys(left_over, backbone):
    copy = {f"ema.net.{key}": tuple(value.shape) for key, value in backbone.state_dict().items()}
    assert left_over(copy | {"ema.neck.weight": (8, 8)}) == []
    assert left_over(copy | {"ema.neck.weight": (8, 8), "neck.weight": (8, 8)}) == ["neck.weight"]


def test_the_backbone_under_a_second_name_is_no_copy(backbone, in_memory):
    """`self.net = self.model.encoder`: the neck beside the second name is the network's."""
    tensors = {f"net.{key}": value for key, value in backbone.state_dict().items()}
    tensors |= {f"model.encoder.{key}": value.clone() for key, value in backbone.state_dict().items()}
    tensors |= {"model.neck.weight": torch.ones(8, 8), "fc.weight": torch.ones(10, 8)}
    found = checkpoints.match(in_memory(tensors), backbone)
    assert found.copies
    extra = unexpected(found, checkpoints.find_classifier(found, 8, 10, Path("x")))
    assert extra == ["model.neck.weight"]


def test_two_layers_side_by_side_end_in_one(left_over):
    assert left_over({"first.weight": (32, 8), "second.weight": (8, 32)}) == ["second.weight"]


def test_a_layer_within_the_classifiers_module_is_one(left_over):
    layers = {"head.norm.weight": (8,), "head.norm.bias": (8,)}
    assert left_over(layers, classifier="head.fc.") == list(layers)


def test_a_count_is_no_layer(backbone, network, in_memory):
    """As `torch.optim.swa_utils.AveragedModel` keeps beside its network, here without a prefix."""
    tensors = network(backbone) | {"n_averaged": torch.tensor(5)}
    found = checkpoints.match(in_memory(tensors), backbone)
    assert unexpected(found, checkpoints.find_classifier(found, 8, 10, Path("x"))) == []


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvisions_auxiliary_classifiers_are_branches(in_memory, prefix, name):
    with torch.device("meta"):
        whole = torchvision.models.get_model(name, num_classes=6, aux_logits=True, init_weights=False)
        backbone = TorchvisionBackbone(name)
    tensors = {f"{prefix}{key}": value for key, value in whole.state_dict().items()}
    own = {"aux1.neck.weight": torch.ones(backbone.num_features, 8, device="meta")}
    found = checkpoints.match(in_memory(tensors | own), backbone)
    assert not found.missing
    classifier = checkpoints.find_classifier(found, backbone.num_features, 6, Path("x"))
    assert classifier.name == f"{prefix}fc"
    assert unexpected(found, classifier) == list(own)


@pytest.mark.parametrize(
    "branch",
    [
        {"projector.0.weight": (8, 8), "projector.0.bias": (8,), "projector.2.weight": (4, 8)},  # contrastive losses
        {"auxiliary.out.weight": (10, 8), "auxiliary.out.bias": (10,)},
        {"rotation.weight": (4, 8)},
        {"experts.0.weight": (8, 10)},  # a cosine classifier
        {"centers": (10, 8), "centers_8": (8, 8)},
        {"queue": (8, 64), "queue_ptr": (1,)},
        {"prototypes.weight": (300, 8)},
        {"upsampling.0.weight": (16, 8), "upsampling.1.weight": (8, 3, 4, 4)},  # a transposed convolution
        {"volume.weight": (8, 4, 3, 3, 3)},
        {"aux_net.0.weight": (4, 3, 3, 3), "aux_net.1.weight": (8, 4, 3, 3)},
        {"train_loss.weight": (8,), "scale": ()},
    ],
)
def test_a_branch_of_its_own_is_left_aside(left_over, branch):
    assert left_over(branch) == []
