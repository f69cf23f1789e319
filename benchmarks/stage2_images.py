"""LORT's 20 epochs as published code runs them, on images, against features extracted once.

    python benchmarks/stage2_images.py --checkpoint model.pth.tar --root cifar100 --backbone ResNet32

Published-like: PIL transforms in 4 workers, fp32, the frozen backbone run again over every image of every epoch,
``.item()`` at every step; its 20 epochs are extrapolated from ``--steps`` of them. Ours: extraction and 20 epochs on
features, all of it run, with test accuracy. Both start from one file, in one run, with memory pinned.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, cast

import torch
from measuring import QUIET, pinned
from published_loop import PILImages
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lt_lightning import presets
from lt_lightning.data.in_memory import InMemoryImages, InMemoryLT
from lt_lightning.features import ExtractionOptions, Features, Views, extract
from lt_lightning.functional import group_accuracies, group_of
from lt_lightning.main import LTCLI
from lt_lightning.modules import RetrainModule
from lt_lightning.results import environment, write_json
from lt_lightning.retraining import HeadRun, train_heads
from lt_lightning.samplers import InstanceSampler
from lt_lightning.schedules import CosineLR

EPOCHS, BATCH = 20, 64


def make(arguments: argparse.Namespace) -> LTCLI:
    """LORT's model and data as the preset has them, with another backbone and data folder, and with seed 0."""
    config = presets.load("cifar100_lt/lort")
    config |= {"seed_everything": 0, "trainer": QUIET}
    config["model"]["init_args"] |= {"backbone": arguments.backbone, "checkpoint": arguments.checkpoint}
    config["data"]["init_args"] |= {"root": arguments.root, "val_from": "none"}  # so that nothing is selected
    return LTCLI(config, run=False)


class Rows:
    """Features, one view per epoch."""

    def __init__(self, features: Features) -> None:
        self.features = features

    def take(self, indices: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """One gather."""
        return self.features.rows(indices, self.features.shown(epoch)), self.features.targets[indices]


def published(backbone: nn.Module, head: nn.Module, loss: nn.Module, images: PILImages, steps: int) -> float:
    """Seconds a step, the first one, which starts the workers, left out."""
    loader = DataLoader(images, BATCH, shuffle=True, num_workers=4)
    head.train()
    optimizer = torch.optim.SGD(head.parameters(), lr=5e-4, momentum=0.9)
    began = 0.0
    for step, (pixels, targets) in enumerate(loader):
        if step == 1:
            began = time.perf_counter()
        with torch.no_grad():
            features = backbone(pixels)
        value = loss(head(features), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        value.item()
        if step == steps:
            break
    return (time.perf_counter() - began) / steps


def accuracy(head: nn.Module, features: Features, counts: list[int]) -> dict[str, float]:
    """Test accuracy of the groups."""
    with torch.inference_mode():
        hits = (head(features.values[0].float()).argmax(dim=1) == features.targets).long()
    zeros = torch.zeros(len(counts), dtype=torch.int64)
    correct, total = zeros.index_add(0, features.targets, hits), torch.bincount(features.targets, minlength=len(counts))
    return {name: value.item() for name, value in group_accuracies(correct, total, group_of(counts, (20, 100))).items()}


def main() -> None:
    """Time both, print them, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--backbone", default="ResNet32")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--views", type=int, nargs="+", default=[1])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/stage2_images.json"))
    arguments = parser.parse_args()
    pinned()
    torch.set_num_threads(arguments.threads)

    made = make(arguments)
    module, data = cast(RetrainModule, made.model), cast(InMemoryLT, made.datamodule)
    module.start_once()
    backbone = module.backbone.eval()
    images = cast(InMemoryImages, data.split("train"))
    test = extract(backbone, data, "test", options=ExtractionOptions(progress=False))
    start = {name: value.clone() for name, value in module.head.state_dict().items()}
    steps_in_all = EPOCHS * -(-len(images) // BATCH)
    shown = PILImages(images.images, images.targets, data.facts.mean, data.facts.std, training=True)
    per_step = published(backbone, module.head, module.loss, shown, arguments.steps)
    record: dict[str, Any] = {
        "environment": environment(),
        "threads": arguments.threads,
        "published-like": {"seconds a step": per_step, "seconds, extrapolated": per_step * steps_in_all},
    }
    for views in arguments.views:
        module.head.load_state_dict(start)
        began = time.perf_counter()
        features = extract(backbone, data, "train", views=cast(Views, views), options=ExtractionOptions(progress=False))
        extracted = time.perf_counter() - began
        optimizer = torch.optim.SGD(module.head.parameters(), lr=5e-4, momentum=0.9)
        scheduler = CosineLR(optimizer)
        scheduler.set_epochs(EPOCHS)
        sampler = InstanceSampler(features.targets)
        run = HeadRun(module.head, module.loss, optimizer, scheduler, sampler, BATCH, EPOCHS)
        began = time.perf_counter()
        train_heads([run], Rows(features))
        trained = time.perf_counter() - began
        whole = per_step * steps_in_all
        record[f"views {views}"] = {
            "extraction seconds": extracted,
            "training seconds": trained,
            "first method, times faster": whole / (extracted + trained),
            "each further one, times faster": whole / trained,
            "test": accuracy(module.head, test, data.class_counts),
        }
    write_json(arguments.output, record)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
