"""Finding the backbone that weights belong to."""

from pathlib import Path

import torch

from lt_lightning import checkpoints
from lt_lightning.backbones import ResNet32, TorchvisionBackbone
from lt_lightning.backbones.identify import fitting_backbones


def file_of(backbone):
    weight = torch.empty(7, backbone.num_features, device="meta")
    return checkpoints.Checkpoint(Path("some.pth"), {**backbone.state_dict(), "linear.weight": weight}, "")


def test_each_network_is_told_from_all_others():
    with torch.device("meta"):
        plain, stem = TorchvisionBackbone("resnet34"), TorchvisionBackbone("resnet34", cifar_stem=True)
        sources = [file_of(backbone) for backbone in (ResNet32(), plain, stem)]
    fitting = []

    def fits(backbone):
        assert all(tensor.is_meta for tensor in backbone.state_dict().values())  # no memory for 16 networks
        fitting.append([])
        for source in sources:
            found = checkpoints.match(source, backbone)
            extra = [key for key in found.rest if key != "linear.weight"]
            fitting[-1].append(not (found.missing or found.misshapen or extra))
        return any(fitting[-1])

    assert fitting_backbones(fits) == [
        "ResNet32",  # not ResNet20, whose tensors are all in the file as well
        'TorchvisionBackbone(name="resnet34")',
        'TorchvisionBackbone(name="resnet34", cifar_stem=True)',
    ]
    assert len(fitting) == 16
    assert [sum(column) for column in zip(*fitting, strict=True)] == [1, 1, 1]
