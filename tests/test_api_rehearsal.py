"""The step that `retrain` tries first is made with class counts that a loss of one's own can use."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lt_lightning
from lt_lightning import api

PARTS = """
import math
from torch.nn import functional as F
from lt_lightning.losses import Loss

class Frequent(Loss):
    def __init__(self, class_counts: list[int]) -> None:
        super().__init__(class_counts)
        self.frequent = [label for label, count in enumerate(class_counts) if count > 20]
    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets) + 0 * logits[:, self.frequent[0]].mean()

class Logarithmic(Loss):
    def __init__(self, class_counts: list[int]) -> None:
        super().__init__(class_counts)
        self.images = class_counts
    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets) / sum(1 / math.log(count) for count in self.images)

class Strict(Loss):
    def __init__(self, class_counts: list[int]) -> None:
        super().__init__(class_counts)
        self.total = sum(class_counts)
    def forward(self, logits, targets, features=None):
        if self.total != 44:
            raise RuntimeError("other counts")
        return F.cross_entropy(logits, targets)
"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    (tmp_path / "counting.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor([30, 10, 4]))
    return TensorDataset(torch.randn(44, 6, generator=torch.Generator().manual_seed(0)), targets)


@pytest.mark.parametrize("loss", ["Frequent", "Logarithmic"])
@pytest.mark.parametrize("known", [True, False])
def test_a_loss_may_need_many_images_of_a_class(images, loss, known):
    loader = [images.tensors] if known else DataLoader(images, 20)
    result = lt_lightning.retrain(nn.Linear(6, 3), loader, method=f"counting.{loss}", epochs=1, progress=False)
    assert result.class_counts == [30, 10, 4]


def test_known_counts_are_the_ones_tried(images, monkeypatch):
    listed = DataLoader(images, 20)
    images.targets = images.tensors[1].tolist()
    for loader in ([images.tensors], listed):
        lt_lightning.retrain(nn.Linear(6, 3), loader, method="counting.Strict", epochs=1, progress=False)
    del images.targets
    monkeypatch.setattr(api, "_features", lambda *_: pytest.fail("too late"))
    with pytest.raises(RuntimeError, match="other counts"):
        lt_lightning.retrain(nn.Linear(6, 3), listed, method="counting.Strict", epochs=1, progress=False)
