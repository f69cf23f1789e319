"""Networks as anybody may have them."""

import torch
from torch import nn

from lt_lightning.backbones import SmallCNN

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A network with a projection inside and what the caller wants at its end."""

    def __init__(self, end=None):
        super().__init__()
        self.encoder = SmallCNN(8)
        self.projection = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 5)
        self.fc = nn.Linear(8, 5)
        self.end = end or (lambda logits: logits)

    def forward(self, images):
        return self.end(self.fc(self.projection(self.encoder(images)).relu()))


class Heads(nn.Module):
    """Two linear classifiers and one by convolution, of which the caller takes what is wanted."""

    def __init__(self, end):
        super().__init__()
        self.one, self.two, self.convolution = nn.Linear(64, 5), nn.Linear(64, 5), nn.Conv1d(64, 5, 1)
        self.end = end

    def forward(self, images):
        flat = images.flatten(1)
        return self.end(self.one(flat), self.two(flat), self.convolution(flat[:, :, None])[:, :, 0])


class Cosine(nn.Linear):
    """Looks like a linear layer, and is none."""

    def forward(self, features):
        return super().forward(nn.functional.normalize(features))
