"""Images on disk are cropped where they are read and mirrored in batches: neither draw says anything of the other."""

import numpy as np
import torch
from lightning.pytorch import LightningModule
from PIL import Image

from lt_lightning.backbones import Backbone
from lt_lightning.data import ImageFolderLT
from lt_lightning.features import ExtractionOptions, extract

SIDE = 64


def data(root, number):
    """Images whose pixels say where they are; red is the column, green the row."""
    place = np.arange(SIDE, dtype=np.uint8) * (256 // SIDE)
    pixels = np.stack([*np.meshgrid(place, place), np.zeros((SIDE, SIDE), np.uint8)], axis=-1)
    for image in range(number):
        path = root / "train" / "ab"[image % 2] / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    options = {"image_size": 16, "mean": [0.0] * 3, "std": [1.0] * 3, "val_from": "none", "num_workers": 0}
    return ImageFolderLT(root=str(root), batch_size=1, **options)


def mirrored_and_area(images):
    """Whether columns run backwards, and the share of the image that is shown, ``(N, 2)``."""
    width = images[:, 0, 8, -1] - images[:, 0, 8, 0]
    height = images[:, 1, -1, 8] - images[:, 1, 0, 8]
    return torch.stack([(width < 0).float(), (width * height).abs()], dim=1)


def assert_apart(seen):
    mirrored = seen[:, 0] > 0
    assert 0.35 < float(mirrored.float().mean()) < 0.65
    shown, shown_mirrored = seen[~mirrored, 1], seen[mirrored, 1]
    assert abs(float(shown.mean() - shown_mirrored.mean())) < 0.1  # 0.35 in extraction, where both came from one seed
    assert min(float(shown.max()), float(shown_mirrored.max())) > 0.7


class Noting(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(mirrored_and_area(batch[0]))
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_in_training(tmp_path, trainer):
    module = Noting()
    trainer(max_epochs=1).fit(module, datamodule=data(tmp_path, 200))
    assert_apart(torch.cat(module.seen))


class Looking(Backbone):
    num_features = 2

    def forward(self, images):
        return mirrored_and_area(images)


def test_in_extraction(tmp_path):
    options = ExtractionOptions(cache=None, progress=False)
    values = extract(Looking(), data(tmp_path, 3), views=200, options=options).values
    for image in range(3):  # the first ones of a block went with their own crop, or a neighbour's
        assert_apart(values[:, image])
