"""He's CIFAR networks."""

import io

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import pil_to_tensor

from lt_lightning import checkpoints
from lt_lightning.backbones import ResNet20, ResNet32, ResNet44, ResNet56
from lt_lightning.backbones.cifar_resnet import CIFARBasicBlock, CIFARResNet


@pytest.mark.parametrize(
    ("backbone", "depth", "millions"),
    [(ResNet20, 20, 0.27), (ResNet32, 32, 0.46), (ResNet44, 44, 0.66), (ResNet56, 56, 0.85)],
)
def test_depth_and_size_are_those_of_the_paper(backbone, depth, millions):
    net = backbone()
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert len(layers) + 1 == depth  # the classifier is the last layer
    with_classifier = sum(parameter.numel() for parameter in net.parameters()) + 10 * 64 + 10
    assert with_classifier / 1e6 == pytest.approx(millions, abs=0.005)


def test_map_sizes_halve_twice():
    net = CIFARResNet(1)
    shapes = []
    for layer in (net.layer1, net.layer2, net.layer3):
        layer.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert net(torch.randn(1, 3, 32, 32)).shape == (1, 64)
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_shortcut_is_subsampling_with_zero_channels_on_both_sides():
    block = CIFARBasicBlock(4, 8, stride=2).eval()
    nn.init.zeros_(block.bn2.weight)  # what is left is the shortcut alone
    x = torch.rand(2, 4, 6, 6)
    out = block(x)
    assert {name.partition(".")[0] for name, _ in block.named_parameters()} == {"conv1", "bn1", "conv2", "bn2"}
    assert torch.equal(out[:, 2:6], x[:, :, ::2, ::2])
    assert out[:, :2].abs().sum() == out[:, 6:].abs().sum() == 0


def test_same_shape_shortcut_is_the_identity():
    block = CIFARBasicBlock(4, 4, stride=1).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_convolutions_start_from_kaiming_normal():
    torch.manual_seed(0)
    weight = ResNet20().layer3[1].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_a_network_trained_elsewhere_classifies_real_images(shared):
    parquet = pytest.importorskip("pyarrow.parquet")
    source = checkpoints.read(shared / "checkpoints/resnet32_cifar100_lt100.pth.tar")
    backbone = ResNet32().eval()
    found = checkpoints.match(source, backbone)
    backbone.load_state_dict(found.tensors)
    classifier = checkpoints.find_classifier(found, 64, 100, source.path)

    rows = next(parquet.ParquetFile(shared / "data/cifar100/test-00000-of-00001.parquet").iter_batches(300)).to_pylist()
    picture = next(name for name, value in rows[0].items() if isinstance(value, dict))
    images = torch.stack([pil_to_tensor(Image.open(io.BytesIO(row[picture]["bytes"]))) for row in rows])
    mean, std = torch.tensor([[0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]])[..., None, None]
    with torch.no_grad():
        logits = backbone((images / 255 - mean) / std) @ classifier.weight.T + classifier.bias
    hits = logits.argmax(1) == torch.tensor([row["fine_label"] for row in rows])
    assert hits.float().mean().item() == pytest.approx(0.393, abs=0.08)  # all 10,000 give 39.30 %
