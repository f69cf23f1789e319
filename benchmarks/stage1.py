"""Speed of stage 1: a bare PyTorch loop, this package through ``lt-lightning fit``, and published code's loop.

    python benchmarks/stage1.py --threads 2
    python benchmarks/stage1.py --networks ResNet34 --batch-sizes 64 --steps 2 --rounds 3 --parts a b c
    python benchmarks/stage1.py --device cuda --networks ResNet32 ResNet34 --steps 100 --root cifar100
    python benchmarks/stage1.py --device cuda --parts --full cifar100_lt/stage1/ce --root cifar100

``a``: images in memory, cropped, flipped and normalised in batches by this package's functions, then forward, backward
and a fused SGD, channels-last, and nothing else. ``b``: the preset, with progress bar, log and callbacks as they come.
``c``: PIL transforms in 4 workers, fp32, contiguous, ``.item()`` at every step, the whole test set after every epoch.
``data``: images per second of the transforms alone. ``processes``: ``b`` on one and on two CPU processes of one thread
each.

Parts take turns within each round, so that whatever else slows the machine down slows all of them; a ratio is taken
within a round, and medians and quartiles over rounds are shown. A step's time is the mean of a warm stretch; the first
step, which compiles, is reported apart. Time of an epoch: steps, for ``b`` also its logs, its checkpoint and its share
of validation, for ``c`` its test pass, both extrapolated from ``--evaluated`` images; starting an epoch counts for
nobody. On CPU glibc's allocator is pinned: page faults alone move fp32 twofold.

Without ``--root`` images are made up, of CIFAR100-LT's size at imbalance ratio 100.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import quantiles
from typing import Any, cast

import timed_fit
import torch
from published_loop import PILImages, PublishedLoop
from rich.table import Table
from timed_fit import now
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

import lt_lightning
from lt_lightning import backbones
from lt_lightning.data import CIFAR100LT
from lt_lightning.data.crop_table import CropTable
from lt_lightning.data.in_memory import InMemoryImages, InMemoryLT
from lt_lightning.heads import LinearHead
from lt_lightning.quiet import quiet
from lt_lightning.results import environment, write_json
from lt_lightning.samplers import InstanceSampler
from lt_lightning.tables import show

PINNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647"}
PARTS = ("a", "b", "c", "data", "processes")
MODES = {"eager": "none", "compiled": "default", "reduce-overhead": "reduce-overhead"}
"""What ``model.compile`` is set to."""

OPTIMIZER = {"lr": 0.1, "momentum": 0.9, "weight_decay": 2e-4}
TEST_IMAGES = 10_000
WORKERS = 4
Timed = dict[str, float]


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
        self.train = DataLoader(pil(data, "train"), batch, shuffle=True, num_workers=WORKERS)
        self.test = DataLoader(pil(data, "test"), 100, num_workers=WORKERS)

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


def cut_fit(name: str, batch: int, precision: str, mode: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Configuration of part b."""
    config = timed_fit.configuration(name, arguments.root)
    config["data"]["init_args"]["batch_size"] = batch
    config["model"]["init_args"]["compile"] = MODES[mode]
    device = {"accelerator": "gpu" if arguments.device == "cuda" else "cpu", "devices": 1, "precision": precision}
    return timed_fit.cut(config, arguments.warm, arguments.steps, arguments.evaluated, device)


def through_fit(config: dict[str, Any]) -> Timed:
    """Part b, its files thrown away."""
    settings(benchmark=False, matmul="highest")
    with tempfile.TemporaryDirectory() as folder:
        return timed_fit.fit(config, Path(folder))


def spread(values: list[float]) -> Timed:
    """Median and quartiles."""
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "quartile_1": low, "quartile_3": high}


class Setting:
    """Everything measured of one network and batch size, in turns.

    Args:
        name: Of the network.
        batch: Images a step.
        data: For parts a and c; part b makes its own.
        arguments: Of the command line.
    """

    def __init__(self, name: str, batch: int, data: InMemoryLT, arguments: argparse.Namespace) -> None:
        self.name, self.batch, self.arguments = name, batch, arguments
        train, val = data.load("train"), data.load("val")
        self.train_images, self.val_images = len(cast(InMemoryImages, train)), 0 if val is None else len(val)
        self.every = timed_fit.configuration(name, arguments.root)["trainer"].get("check_val_every_n_epoch", 1)
        self.steps = min(arguments.steps, self.train_images // batch - arguments.warm - 1)
        if self.steps < 1:
            sys.exit(f"an epoch of {self.train_images} images has too few steps of {batch} for --warm {arguments.warm}")
        cut = argparse.Namespace(**{**vars(arguments), "steps": self.steps})
        self.candidates: dict[tuple[str, str, str], Callable[[], Timed]] = {}
        for precision in arguments.precisions:
            for mode in arguments.modes:
                if "a" in arguments.parts:
                    bare = Bare(name, data, batch, precision, mode, arguments.device)
                    self.candidates["a", precision, mode] = lambda bare=bare: bare.run(cut.warm, cut.steps)
                if "b" in arguments.parts:
                    config = cut_fit(name, batch, precision, mode, cut)
                    self.candidates["b", precision, mode] = lambda config=config: through_fit(config)
        if "c" in arguments.parts:
            published = Published(name, data, batch, arguments.device, arguments.evaluated)
            self.candidates["c", "32-true", "eager"] = lambda: published.run(cut.warm, cut.steps)

    def epoch(self, part: str, timed: Timed) -> float:
        """Seconds of an epoch with all that belongs to it."""
        seconds = self.train_images / self.batch * timed["step"]
        if part == "b":
            seconds += timed["epoch_end"] + self.val_images / self.every * timed.get("evaluation", 0.0)
        return seconds + (TEST_IMAGES * timed["evaluation"] if part == "c" else 0.0)

    def measure(self) -> dict[str, Any]:
        """All candidates in every round, then what follows from it."""
        rounds: dict[tuple[str, str, str], list[Timed]] = {key: [] for key in self.candidates}
        for _ in range(self.arguments.rounds):
            for key, candidate in self.candidates.items():
                rounds[key].append(candidate())
        rows = []
        for (part, precision, mode), timed in rounds.items():
            row: dict[str, Any] = {"part": part, "precision": precision, "mode": mode, "rounds": timed}
            row["milliseconds_a_step"] = spread([1000 * one["step"] for one in timed])
            row["images_per_second"] = spread([self.batch / one["step"] for one in timed])
            row["seconds_an_epoch"] = spread([self.epoch(part, one) for one in timed])
            row["first_step_seconds"] = timed[0]["first_step"]
            if part == "b":
                row |= {"ratios": self.ratios(timed, rounds.get(("a", precision, mode)), rounds.get(PUBLISHED))}
            rows.append(row)
        images = {"train_images": self.train_images, "val_images": self.val_images, "test_images": TEST_IMAGES}
        protocol = {"steps": self.steps, **images, "check_val_every_n_epoch": self.every}
        return {"network": self.name, "batch": self.batch, **protocol, "rows": rows}

    def ratios(self, ours: list[Timed], bare: list[Timed] | None, published: list[Timed] | None) -> dict[str, Timed]:
        """Speed of part b over that of the others, round by round."""
        found = {}
        if bare:
            found["b/a"] = spread([a["step"] / b["step"] for a, b in zip(bare, ours, strict=True)])
        if published:
            pairs = list(zip(published, ours, strict=True))
            steps = self.train_images / self.batch
            found["b/c without test pass"] = spread([steps * c["step"] / self.epoch("b", b) for c, b in pairs])
            found["b/c"] = spread([self.epoch("c", c) / self.epoch("b", b) for c, b in pairs])
        return found


PUBLISHED = ("c", "32-true", "eager")


def data_path(data: InMemoryLT, arguments: argparse.Namespace) -> dict[str, Timed]:
    """Images per second of the transforms alone, an epoch of batches of 128 each time, workers' start included."""
    held = cast(InMemoryImages, data.load("train"))
    order = torch.randperm(len(held))[: arguments.data_images]
    generator = torch.Generator(arguments.device).manual_seed(0)
    images = held.images.to(arguments.device)
    table = CropTable(images, data.crop_padding, data.flip, images.device)

    def from_table() -> int:
        for rows in order.to(arguments.device).split(128):
            data.finish(table.draw(rows, generator), training=True, generator=generator)
        return len(order)

    def from_images() -> int:
        for rows in order.to(arguments.device).split(128):
            data.to_input(images.index_select(0, rows), training=True, generator=generator)
        return len(order)

    def by_pil(workers: int) -> Callable[[], int]:
        loader = DataLoader(Subset(pil(data, "train"), order.tolist()), 128, num_workers=workers)
        return lambda: sum(len(targets) for _, targets in loader)

    candidates = {"batches, from a table of crops": from_table, "batches, from the images": from_images}
    candidates["PIL, in this process"] = by_pil(0)
    candidates |= {f"PIL, {workers} workers": by_pil(workers) for workers in (2, WORKERS)}
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    from_table(), from_images()
    for _ in range(arguments.rounds):
        for name, candidate in candidates.items():
            began = now()
            number = candidate()
            rates[name].append(number / (now() - began))
    return {name: spread(found) for name, found in rates.items()}


def command(path: Path, threads: int | None) -> None:
    """``lt-lightning fit`` as a command of its own."""
    places = [str(Path(lt_lightning.__file__).parents[1]), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    own |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
    line = [sys.executable, "-m", "lt_lightning", "fit", "-c", str(path)]
    done = subprocess.run(line, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def over_processes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Images per second of part b on one and on two CPU processes of one thread each, which share a batch."""
    name, batch = arguments.networks[0], arguments.batch_sizes[-1]
    rates: dict[str, list[float]] = {"1": [], "2": []}
    for _ in range(arguments.process_rounds):
        for number, found in rates.items():
            with tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / "clock.json"
                config = timed_fit.configuration(name, arguments.root)
                config["data"]["init_args"]["batch_size"] = batch
                trainer = {"accelerator": "cpu", "devices": int(number), "precision": arguments.precisions[-1]}
                trainer |= {"enable_progress_bar": False} | ({"strategy": "ddp"} if number == "2" else {})
                sizes = (arguments.warm, arguments.steps, arguments.evaluated)
                command(timed_fit.write(timed_fit.cut(config, *sizes, trainer, str(output)), Path(folder)), 1)
                found.append(batch / json.loads(output.read_text())["step"])
    record: dict[str, Any] = {"network": name, "batch": batch, "precision": arguments.precisions[-1]}
    record["images_per_second"] = {number: spread(found) for number, found in rates.items()}
    record["2/1"] = spread([two / one for one, two in zip(rates["1"], rates["2"], strict=True)])
    return record


def whole_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a preset from the command to its end, start-up, validation and checkpoints included."""
    config = timed_fit.configuration("", arguments.root, arguments.full)
    config["data"]["init_args"]["batch_size"] = arguments.batch_sizes[0]
    config["model"]["init_args"]["compile"] = MODES[arguments.modes[0]]
    accelerator = "gpu" if arguments.device == "cuda" else "cpu"
    config["trainer"] |= {"accelerator": accelerator, "devices": 1, "precision": arguments.precisions[-1]}
    config["trainer"] |= {"max_epochs": arguments.full_epochs} if arguments.full_epochs else {}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command(timed_fit.write(config, Path(folder)), arguments.threads)
        seconds = time.perf_counter() - began
        (results,) = Path(folder).rglob("results.json")
        rate = json.loads(results.read_text())["training_images_per_second"]
    asked = {"preset": arguments.full, "batch": arguments.batch_sizes[0], "mode": arguments.modes[0]}
    asked |= {"precision": arguments.precisions[-1], "epochs": config["trainer"]["max_epochs"]}
    return asked | {"seconds": seconds, "training_images_per_second": rate}


def shown(record: dict[str, Any]) -> None:
    """Tables of what was measured."""
    for setting in record["settings"]:
        table = Table(title=f"{setting['network']}, batch {setting['batch']}", title_justify="left")
        table.add_column("part")
        for heading in ("ms a step", "images/s", "quartiles", "first step, s", "epoch, s"):
            table.add_column(heading, justify="right")
        ratios = []
        for row in setting["rows"]:
            label, speed = f"{row['part']} {row['precision']} {row['mode']}", row["images_per_second"]
            table.add_row(
                label,
                f"{row['milliseconds_a_step']['median']:.1f}",
                f"{speed['median']:,.0f}",
                f"{speed['quartile_1']:,.0f}–{speed['quartile_3']:,.0f}",
                f"{row['first_step_seconds']:.1f}",
                f"{row['seconds_an_epoch']['median']:.1f}",
            )
            ratios += [(label, name, found) for name, found in row.get("ratios", {}).items()]
        show(table)
        for label, name, found in ratios:
            print(f"{label}: {name} {found['median']:.3f} ({found['quartile_1']:.3f}–{found['quartile_3']:.3f})")
    for name, rate in record.get("data", {}).items():
        print(f"{name}: {rate['median']:,.0f} images/s ({rate['quartile_1']:,.0f}–{rate['quartile_3']:,.0f})")
    for key in ("processes", "full"):
        if key in record:
            print(key, json.dumps(record[key], indent=1))


def main() -> None:
    """Measure what is asked for, writing after each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--networks", nargs="+", default=["ResNet32"], help="ResNet34 has a stem for small images")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--precisions", nargs="+", default=["32-true", "bf16-mixed"], help="of parts a and b")
    parser.add_argument("--modes", nargs="+", choices=MODES, help="of parts a and b: eager on CPU, all on CUDA")
    parser.add_argument("--warm", type=int, default=2, help="steps before a measured stretch")
    parser.add_argument("--steps", type=int, default=10, help="steps of a measured stretch, at most an epoch's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--process-rounds", type=int, default=2)
    parser.add_argument("--evaluated", type=int, default=512, help="images to time validation and test pass with")
    parser.add_argument("--data-images", type=int, help="of part data; a whole epoch by default")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--root", default="", help="folder with CIFAR-100")
    parser.add_argument("--full", default="", help="a preset to train from beginning to end as well")
    parser.add_argument("--full-epochs", type=int, help="instead of the preset's")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/stage1.json"))
    arguments = parser.parse_args()
    if arguments.device == "cpu" and not PINNED.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PINNED})
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.modes = arguments.modes or (list(MODES) if arguments.device == "cuda" else ["eager"])
    quiet()
    warnings.filterwarnings("ignore", message=".*worker processes in total")  # published code asks no machine

    data = CIFAR100LT(root=arguments.root) if arguments.root else timed_fit.MadeUpLT()
    data.prepare_data()
    asked = ("device", "warm", "rounds", "evaluated")
    record: dict[str, Any] = {
        "environment": environment(),
        "protocol": {"data": data.facts.name, "interleaved": True, "workers_of_c": WORKERS}
        | {name: getattr(arguments, name) for name in asked},
        "settings": [],
    }
    if set("abc") & set(arguments.parts):
        for name in arguments.networks:
            for batch in arguments.batch_sizes:
                record["settings"].append(Setting(name, batch, data, arguments).measure())
                write_json(arguments.output, record)
    if "data" in arguments.parts:
        record["data"] = data_path(data, arguments)
    if "processes" in arguments.parts:
        record["processes"] = over_processes(arguments)
    if arguments.full:
        record["full"] = whole_run(arguments)
    write_json(arguments.output, record)
    shown(record)
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
