"""Parts a and c: a bare loop on this package's batches, and published code's."""

from contextlib import nullcontext
from itertools import chain, cycle, islice
from typing import Any, cast

import torch
from measuring import Timed
from published_loop import PILImages, PublishedLoop
from timed_fit import now
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lt_lightning import backbones
from lt_lightning.data.crop_table import CropTable
from lt_lightning.data.in_memory import InMemoryImages, InMemoryLT
from lt_lightning.heads import LinearHead
from lt_lightning.samplers import InstanceSampler

MODES = {"eager": "none", "compiled": "default", "reduce-overhead": "reduce-overhead"}
"""What ``model.compile`` is set to."""

OPTIMIZER = {"lr": 0.1, "momentum": 0.9, "weight_decay": 2e-4}
WORKERS = 4
"""Of published code's loaders."""


def network(name: str, data: InMemoryLT) -> nn.Module:
    """Backbone and linear classifier."""
    made = backbones.TorchvisionBackbone("resnet34", cifar_stem=True) if name == "ResNet34" else None
    backbone = made or cast(type[backbones.Backbone], getattr(backbones, name))()
    return nn.Sequential(backbone, LinearHead(backbone.num_features, data.class_counts))


def settings(benchmark: bool, matmul: str) -> None:
    """Of the whole process: whether cuDNN tries its algorithms out, and how exact fp32 products are on a GPU."""
    torch.backends.cudnn.benchmark = benchmark
    torch.set_float32_matmul_precision(matmul)


class Bare:
    """Part a: the least that trains on the batches that this package makes."""

    def __init__(self, name: str, data: InMemoryLT, batch: int, precision: str, mode: str, device: str) -> None:
        self.data, self.batch, self.device = data, batch, device
        held = cast(InMemoryImages, data.load("train"))
        self.table = CropTable(held.images, data.crop_padding, data.flip, torch.device(device))
        self.targets = held.targets.to(device)
        self.sampler = InstanceSampler(held.targets)
        self.network = network(name, data).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.network.parameters(), fused=True, **OPTIMIZER)
        self.autocast = torch.autocast(device, torch.bfloat16) if precision == "bf16-mixed" else nullcontext()
        self.generator = torch.Generator(device).manual_seed(0)
        if mode != "eager":
            self.network.compile(mode=MODES[mode], dynamic=False)

    def batches(self, number: int) -> list[Tensor]:
        """Indices of full batches."""
        order = self.sampler.indices(0).to(self.device)
        return list(islice(cycle(part for part in order.split(self.batch) if len(part) == self.batch), number))

    def step(self, rows: Tensor) -> None:
        """Gather, augment, train."""
        images = self.data.finish(self.table.draw(rows, self.generator), training=True, generator=self.generator)
        with self.autocast:
            logits = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), self.targets.index_select(0, rows))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def run(self, warm: int, steps: int) -> Timed:
        """Seconds of a step, and of the first one."""
        settings(benchmark=True, matmul="high")
        found, began = {}, now()
        for number, rows in enumerate(self.batches(warm + steps)):
            if number == warm:
                began = now()
            self.step(rows)
            if number == 0:
                found["first_step"] = now() - began
        return found | {"step": (now() - began) / steps}


class Published:
    """Part c."""

    def __init__(self, name: str, data: InMemoryLT, batch: int, device: str, evaluated: int) -> None:
        made = network(name, data).to(device)
        self.loop = PublishedLoop(made, torch.optim.SGD(made.parameters(), **OPTIMIZER), device)
        self.classes, self.evaluated = data.num_classes, evaluated
        pinned = device.startswith("cuda")
        self.train = DataLoader(pil(data, "train"), batch, shuffle=True, num_workers=WORKERS, pin_memory=pinned)
        self.test = DataLoader(pil(data, "test"), 100, num_workers=WORKERS, pin_memory=pinned)

    def run(self, warm: int, steps: int) -> Timed:
        """Seconds of a step, of the first one, and of one test image."""
        settings(benchmark=True, matmul="highest")
        found, began = {}, now()
        self.loop.network.train()
        for number, batch in enumerate(islice(self.train, warm + steps)):
            if number == warm:
                began = now()
            self.loop.step(*batch)
            if number == 0:
                found["first_step"] = now() - began
        found["step"] = (now() - began) / steps
        batches = iter(self.test)
        seen = [next(batches)]  # the workers have started when the first one is here
        began = now()
        rest = islice(batches, max(0, self.evaluated // 100 - 1))
        _, counted = self.loop.test(chain(seen, rest), self.classes)
        return found | {"evaluation": (now() - began) / int(counted.sum())}


def pil(data: InMemoryLT, name: str) -> PILImages:
    """A split as published code reads it."""
    held = cast(InMemoryImages, data.load(cast(Any, name)))
    return PILImages(held.images, held.targets, data.facts.mean, data.facts.std, training=name == "train")
