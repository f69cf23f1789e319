"""Moving the statistics of batch normalisation without normalising by the batch."""

from typing import Any

import torch
from torch import Tensor, nn

BatchNorm = nn.modules.batchnorm._BatchNorm


@torch.no_grad()
def move_statistics(layer: BatchNorm, images: Tensor) -> None:
    """Move a layer's running statistics by a batch, as training mode does, in place.

    Args:
        layer: Batch normalisation that keeps running statistics.
        images: Its input, ``(N, C, ...)``.
    """
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return  # it knows nothing but the batch
    layer.num_batches_tracked.add_(1)
    share: Any = 1 / layer.num_batches_tracked.float() if layer.momentum is None else layer.momentum
    images = images.float() if images.dtype in (torch.float16, torch.bfloat16) else images
    variance, mean = torch.var_mean(images, dim=[0, *range(2, images.ndim)])  # unbiased, as torch's is
    layer.running_mean.add_(share * (mean - layer.running_mean))
    layer.running_var.add_(share * (variance - layer.running_var))
