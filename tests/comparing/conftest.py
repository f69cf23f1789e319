"""A foreign checkpoint of a network on a made CIFAR-10, and comparisons on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import Comparison, Options, compare
from lt_lightning.data import CIFAR10LT
from lt_lightning.features import ExtractionOptions

QUIET = {"progress": False, "device": "cpu", "channels_last": False}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Most comparisons here have four validation images a class, and need not be told that these are few."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("ignore:.*have fewer than 5 of them:UserWarning"))


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict that nobody has trained, of a backbone of 8 features and a classifier of 10 classes."""
    torch.manual_seed(0)
    model = torch.nn.Module()
    model.backbone, model.fc = SmallCNN(8, in_channels=3), torch.nn.Linear(8, 10)
    path = tmp_path_factory.mktemp("foreign") / "model.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def coloured_root(tmp_path_factory: pytest.TempPathFactory, write_parquet: Any, encode_png: Any) -> Path:
    """A CIFAR-10 of 16 training and 8 test images a class, each class of a colour of its own, with much noise."""
    root = tmp_path_factory.mktemp("coloured")
    random = np.random.default_rng(0)
    colours = random.uniform(60, 195, (10, 1, 1, 3))
    for split, number in (("train", 160), ("test", 80)):
        labels = [i % 10 for i in range(number)]
        shades = colours[labels] + random.normal(0, 25, (number, 1, 1, 3)) + random.normal(0, 40, (number, 32, 32, 3))
        cells = [encode_png(image) for image in shades.clip(0, 255).astype(np.uint8)]
        write_parquet(root / f"{split}-00000-of-00001.parquet", cells, labels, None)
    return root


@pytest.fixture(scope="session")
def make_data(coloured_root: Path) -> Callable[..., CIFAR10LT]:
    """The made CIFAR-10: 8 to 2 training images a class, 4 others that validate, 8 that test."""

    def make(**options: Any) -> CIFAR10LT:
        settings = {"imbalance_ratio": 4.0, "max_count": 8, "val_per_class": 4, "group_thresholds": (3, 5)}
        return CIFAR10LT(root=str(coloured_root), **settings | options)

    return make


@pytest.fixture(scope="session")
def run(foreign: Path, make_data: Callable[..., CIFAR10LT]) -> Callable[..., Comparison]:
    """Compares on it, quickly and quietly."""

    def run(
        methods: Any = "linear,lort",
        grid: Any = None,
        data: Any = None,
        checkpoint: Any = foreign,
        backbone: Any = None,
        **options: Any,
    ) -> Comparison:
        settings = {"views": 1, "oracle": False, "draws": 100, "features": ExtractionOptions(**QUIET)} | options
        network = backbone or SmallCNN(8, in_channels=3)
        return compare(str(checkpoint), network, data or make_data(), methods, grid, Options(**settings))

    return run
