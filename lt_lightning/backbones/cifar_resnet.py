"""He's residual networks for 32×32 images (He et al. 2016, section 4.2), with parameter-free option-A shortcuts.

Layers are named as in the widely used PyTorch scripts (``conv1``, ``bn1``, ``layer1.0.conv1`` …), so their checkpoints
load without renaming.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lt_lightning.backbones.base import Backbone


class CIFARBasicBlock(nn.Module):
    """Two 3×3 convolutions and an option-A shortcut: subsampled, new channels zero.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the first convolution and of the shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        # Zero channels go on both sides of the old ones, as in the published ports.
        missing = out_channels - in_channels
        self.channel_padding = (missing // 2, missing - missing // 2)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C_in, H, W)`` to ``(N, C_out, H / stride, W / stride)``."""
        shortcut = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        if any(self.channel_padding):
            shortcut = F.pad(shortcut, (0, 0, 0, 0, *self.channel_padding))
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + shortcut)


class CIFARResNet(Backbone):
    """A CIFAR ResNet of depth ``6 · blocks + 2``, ending in 64 pooled features.

    Convolutions start from Kaiming's normal distribution, as in LDAM's recipe.

    Args:
        blocks: Residual blocks in each of the three stages.
        in_channels: Channels of an image.
    """

    num_features = 64

    def __init__(self, blocks: int, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, 64)``."""
        out = F.relu(self.bn1(self.conv1(images)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return torch.flatten(F.adaptive_avg_pool2d(out, 1), 1)


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = CIFARBasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(CIFARBasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))


class ResNet20(CIFARResNet):
    """He's ResNet-20 for CIFAR: 0.27 M parameters, 64 features."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(3, in_channels)


class ResNet32(CIFARResNet):
    """He's ResNet-32 for CIFAR: 0.46 M parameters, 64 features; the backbone of LDAM's and ELM's tables."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(5, in_channels)


class ResNet44(CIFARResNet):
    """He's ResNet-44 for CIFAR: 0.66 M parameters, 64 features."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(7, in_channels)


class ResNet56(CIFARResNet):
    """He's ResNet-56 for CIFAR: 0.85 M parameters, 64 features."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(9, in_channels)
