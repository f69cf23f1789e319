"""Wide residual networks for 32×32 images (Zagoruyko & Komodakis 2016).

Layers are named as in the widely used PyTorch script (``conv1``, ``block1.layer.0.bn1`` …, ``bn1``), so its checkpoints
load without renaming.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lt_lightning.backbones.base import Backbone
from lt_lightning.errors import UsageError, check_at_least_1


class WideResNet(Backbone):
    """A wide residual network with pre-activation blocks, ``64 · widen_factor`` pooled features at its end.

    WRN-28-10, the default, has 36.5 M parameters with a classifier of ten classes and is the larger backbone of DLR's
    CIFAR tables. Convolutions start from Kaiming's normal distribution over outputs, as in the published code.

    Args:
        depth: Number of layers, ``6 · blocks + 4``: 16, 22, 28, 40 …
        widen_factor: How many times wider than He's CIFAR networks.
        dropout: Probability of dropping an activation between the two convolutions of a block; the paper's 0.3 is for
            training without strong augmentation.
        in_channels: Channels of an image.

    Raises:
        UsageError: If ``depth`` is not ``6 · blocks + 4``, ``widen_factor`` is below 1 or ``dropout`` outside [0, 1).

    References:
        Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, Table 1.
    """

    def __init__(self, depth: int = 28, widen_factor: int = 10, dropout: float = 0.0, in_channels: int = 3) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise UsageError(f"`depth` must be 6 · blocks + 4, such as 16, 28 or 40, but got {depth}.")
        check_at_least_1(widen_factor=widen_factor)
        if not 0 <= dropout < 1:
            raise UsageError(f"`dropout` must lie in [0, 1), but got {dropout}.")
        blocks = (depth - 4) // 6
        width = 16 * widen_factor
        self.num_features = 4 * width
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.block1 = _Stage(16, width, blocks, 1, dropout)
        self.block2 = _Stage(width, 2 * width, blocks, 2, dropout)
        self.block3 = _Stage(2 * width, 4 * width, blocks, 2, dropout)
        self.bn1 = nn.BatchNorm2d(4 * width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, D)``."""
        out = self.block3(self.block2(self.block1(self.conv1(images))))
        return torch.flatten(F.adaptive_avg_pool2d(F.relu(self.bn1(out)), 1), 1)


class WideBlock(nn.Module):
    """Normalisation, ReLU and a 3×3 convolution, twice, beside a shortcut.

    Where the shape changes, the shortcut is a 1×1 convolution of the normalised, rectified input, as in the published
    code; elsewhere it is the input itself.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the first convolution and of the shortcut.
        dropout: Probability of dropping an activation between the convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.dropout = dropout
        same = in_channels == out_channels and stride == 1
        self.convShortcut = None if same else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C_in, H, W)`` to ``(N, C_out, H / stride, W / stride)``."""
        activated = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(activated)
        out = F.relu(self.bn2(self.conv1(activated)))
        residual: Tensor = self.conv2(F.dropout(out, self.dropout, self.training))
        return residual + shortcut


class _Stage(nn.Module):
    """Blocks of one width under the name ``layer``, which the published checkpoints have in their keys."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, stride: int, dropout: float) -> None:
        super().__init__()
        first = WideBlock(in_channels, out_channels, stride, dropout)
        others = (WideBlock(out_channels, out_channels, 1, dropout) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *others)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out
