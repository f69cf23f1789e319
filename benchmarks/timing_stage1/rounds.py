"""All that is measured of one network and batch size, in turns, and the ratios that follow."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import timed_fit
from measuring import Timed, in_turns, spread

from lt_lightning.data.in_memory import InMemoryImages, InMemoryLT
from timing_stage1.loops import Bare, Published
from timing_stage1.through_fit import cut_fit, through_fit

TEST_IMAGES = 10_000
PUBLISHED = ("c", "32-true", "eager")
"""Part, precision and mode of published code."""


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
        warm = arguments.warm
        self.steps = min(arguments.steps, self.train_images // batch - warm - 1)
        if self.steps < 1:
            sys.exit(f"an epoch of {self.train_images} images has too few steps of {batch} for --warm {warm}")
        self.candidates: dict[tuple[str, str, str], Callable[[], Timed]] = {}
        for precision in arguments.precisions:
            for mode in arguments.modes:
                if "a" in arguments.parts:
                    bare = Bare(name, data, batch, precision, mode, arguments.device)
                    self.candidates["a", precision, mode] = partial(bare.run, warm, self.steps)
                if "b" in arguments.parts:
                    config = cut_fit(name, batch, precision, mode, self.steps, arguments)
                    self.candidates["b", precision, mode] = partial(through_fit, config)
        if "c" in arguments.parts:
            published = Published(name, data, batch, arguments.device, arguments.evaluated)
            self.candidates[PUBLISHED] = partial(published.run, warm, self.steps)

    def epoch(self, part: str, timed: Timed) -> float:
        """Seconds of an epoch with all that belongs to it."""
        seconds = self.train_images / self.batch * timed["step"]
        if part == "b":
            seconds += timed["epoch_end"] + self.val_images / self.every * timed.get("evaluation", 0.0)
        return seconds + (TEST_IMAGES * timed["evaluation"] if part == "c" else 0.0)

    def measure(self) -> dict[str, Any]:
        """All candidates in every round, then what follows from it."""
        rounds = in_turns(self.candidates, self.arguments.rounds)
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
