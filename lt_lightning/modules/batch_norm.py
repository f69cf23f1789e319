"""What layers that normalise by batches have in common."""

from torch import nn

BatchNorm = nn.modules.batchnorm._BatchNorm
