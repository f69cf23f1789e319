"""A trained module as one function of images."""

from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor, nn

from lt_lightning.losses import Loss
from lt_lightning.modules import LTModule
from lt_lightning.records import PreProcessing


class Program(nn.Module):
    """A trained module as one function of images, without what training needs.

    Args:
        module: Stage 1 or 2.
        image: How its images were normalised; ``None`` if they come normalised.
        temperature: Divides the logits.
        logits: Whether logits are given, times the loss's scale and over the temperature, instead of probabilities.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, module: LTModule, image: PreProcessing | None, temperature: float, logits: bool) -> None:
        super().__init__()
        self._module = (module,)  # kept from being a part
        self.backbone = module.backbone
        self.head = module.head
        self.loss: Loss = module.loss
        self.normalizes = image is not None
        self.temperature = temperature
        self.logits = logits
        if image is not None:
            self.register_buffer("mean", torch.tensor(image.mean)[:, None, None])
            self.register_buffer("std", torch.tensor(image.std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, K)``, in fp32."""
        logits = self._over_temperature(self._by_parts, images)
        return logits * self.loss.logit_scale if self.logits else self.loss.probabilities(logits)

    def giving_logits(self) -> "Program":
        """The same program, of the same weights, but with logits for its outputs."""
        other = copy(self)
        other.logits = True
        return other

    def scaled_logits(self, images: Tensor, by_module: bool = False) -> Tensor:
        """The logits that outputs are or, unless the loss has a way of its own, are the softmax or sigmoid of.

        Args:
            images: ``(N, C, H, W)``.
            by_module: Whether the module itself is asked, whose ``forward`` may do more than its backbone and head.

        Returns:
            ``(N, K)``, times the loss's scale and over the temperature.
        """
        network = self._module[0] if by_module else self._by_parts
        return self._over_temperature(network, images) * self.loss.logit_scale

    def _by_parts(self, inputs: Tensor) -> Tensor:
        return self.head.predict(self.backbone(inputs))

    def _over_temperature(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        if self.normalizes:
            images = (images - self.mean) / self.std
        return network(images) / self.temperature
