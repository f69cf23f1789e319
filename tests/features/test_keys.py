import copy

import torch
from torch import nn

from lt_lightning.backbones import ResNet20, SmallCNN
from lt_lightning.features.keys import cache_key, weights_hash


def test_equal_weights_have_equal_hashes_wherever_they_lie():
    backbone = ResNet20()
    assert weights_hash(backbone) == weights_hash(copy.deepcopy(backbone).to(memory_format=torch.channels_last))


def test_every_tensor_and_the_structure_count():
    backbone = SmallCNN(8)
    hashes = {weights_hash(backbone)}
    for tensor in backbone.state_dict().values():
        tensor += 1
        hashes.add(weights_hash(backbone))
        tensor -= 1
    hashes |= {weights_hash(backbone.to(torch.bfloat16)), weights_hash(nn.Sequential(backbone))}
    assert len(hashes) == len(backbone.state_dict()) + 3
    assert weights_hash(nn.MaxPool2d(2)) != weights_hash(nn.MaxPool2d(2, stride=1))


def test_buffers_that_no_state_dict_has_count_too():
    module = nn.Module()
    module.register_buffer("scale", torch.ones(1), persistent=False)
    before = weights_hash(module)
    module.scale += 1
    assert weights_hash(module) != before


def test_order_of_parts_is_irrelevant_and_their_values_are_not():
    assert cache_key({"a": 1, "b": (1, 2)}) == cache_key({"b": [1, 2], "a": 1})
    assert cache_key({"a": 1}) != cache_key({"a": 2}) != cache_key({"b": 2})
    assert len(cache_key({})) == 64
