"""Moving statistics as torch does."""

import pytest
import torch
from torch import nn

from lt_lightning.modules.batch_norm import move_statistics


def batches(*shape):
    generator = torch.Generator().manual_seed(0)
    return [3 * torch.randn(4, 3, *shape, generator=generator) + 1 for _ in range(3)]


@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm2d, (5, 6)), (nn.BatchNorm1d, ())])
@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_they_move_as_in_training_mode(kind, shape, momentum):
    ours, theirs = kind(3, momentum=momentum).eval(), kind(3, momentum=momentum).train()
    for images in batches(*shape):
        move_statistics(ours, images)
        theirs(images)
    for key, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], tensor)
    assert ours.running_mean.abs().max() > 0.1


def test_half_precision_moves_them_in_full():
    layer = nn.BatchNorm2d(3)
    (images, *_) = batches(5, 6)
    move_statistics(layer, images.half())
    torch.testing.assert_close(layer.running_mean, 0.1 * images.mean((0, 2, 3)), rtol=1e-2, atol=1e-3)
    assert layer.running_mean.dtype == torch.float32


def test_a_layer_without_statistics_stays_so():
    layer = nn.BatchNorm2d(3, track_running_stats=False)
    move_statistics(layer, batches(2, 2)[0])
    assert layer.running_mean is None
