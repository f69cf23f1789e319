"""Rows of the papers' protocol: heads are trained and tested on images."""

import time
from copy import deepcopy

import torch
from torch import Tensor

from lt_lightning.backbones.base import in_type_of_weights, type_of_weights
from lt_lightning.comparing import paper
from lt_lightning.comparing.grid import Point
from lt_lightning.comparing.methods import STAGE1
from lt_lightning.comparing.outcome import Row
from lt_lightning.comparing.selection import choose
from lt_lightning.comparing.setup import Setup
from lt_lightning.comparing.training import Trained, make_head, whole_features
from lt_lightning.devices.random_state import RandomState
from lt_lightning.features import extract
from lt_lightning.functional.checks import images_and_targets
from lt_lightning.progress import Advance, progress_bar
from lt_lightning.retraining.naming import naming
from lt_lightning.tables import percent
from lt_lightning.wording import duration

_TIMED = 128  # images: a pass of which tells how long all will take
_REPEATS = 3


def paper_rows(setup: Setup) -> list[Row]:
    """Stage 1 and each method, tested on images."""
    wanted = setup.every_point
    _announce(setup)
    rows = [_as_it_is(setup, Row(STAGE1, "none", None, [], [setup.stage1]))]
    # Before the bar appears: extraction has one of its own.
    untrained = {point.method.name: _untrained(setup, point) for point in wanted if not point.method.trains}
    total = sum(setup.epochs(point.method) for point in wanted if point.method.trains) * len(setup.options.seeds)
    shown = setup.options.features.progress
    with progress_bar("epochs on images", total, shown) as advance:
        for number, point in enumerate(wanted, 1):
            row = Row(point.method.name, setup.selection.label, point, [], [])
            if point.method.trains:
                _train(setup, row, point, advance)
            else:
                row.selection, row.heads = "unselected", [untrained[row.name]]
                _as_it_is(setup, row)
            rows.append(row)
            if shown:
                says = f"{percent(row.values('all')[0])} % on test images" if row.tests else "diverged"
                print(f"{number} of {len(wanted)}: {row.name} {says}, {row.seconds:.0f} s", flush=True)
    return rows


def estimate(setup: Setup) -> float:
    """Seconds that all training and testing will take, by the time that a few images take; reading is left out."""
    train, test = setup.data.required("train", undistorted=True), setup.data.required("test")
    pixels, _ = images_and_targets(train.__getitems__(list(range(min(_TIMED, len(train))))), train, learns=False)
    network = deepcopy(setup.source.backbone).to(setup.device)
    inputs = setup.data.to_input(pixels.to(setup.device), training=False, generator=None)
    images = in_type_of_weights(inputs, type_of_weights(network))
    if setup.options.features.channels_last:
        network = network.to(memory_format=torch.channels_last)
    per_image = {}
    with torch.no_grad():
        for training in (True, False):
            network.train(training)
            float(network(images).sum())  # the first pass is slower
            started = time.perf_counter()
            for _ in range(_REPEATS):
                float(network(images).sum())  # waits for the device
            per_image[training] = (time.perf_counter() - started) / _REPEATS / len(images)
    tested = 2 * len(test) * per_image[False]  # and their mirror images
    epochs = sum(setup.epochs(point.method) for point in setup.every_point if point.method.trains)
    once = 1 + sum(not point.method.trains for point in setup.every_point)
    return len(setup.options.seeds) * epochs * (len(train) * per_image[True] + tested) + once * tested


def _announce(setup: Setup) -> None:
    trained = [point.method for point in setup.every_point if point.method.trains]
    epochs, seeds = sum(map(setup.epochs, trained)), len(setup.options.seeds)
    print(
        f"protocol paper: {epochs} epochs in all for each of {seeds} seed{'s' if seeds > 1 else ''}, tested after each "
        f"one; computing takes about {duration(estimate(setup))} on {setup.device.type}",
        flush=True,
    )


def _train(setup: Setup, row: Row, point: Point, on_epoch: Advance) -> None:
    """Train with every seed, and keep the best in the row."""
    settings = setup.parser.make(point.method.plain, point.method.name)
    channels_last = setup.options.features.channels_last
    given = (settings, setup.source, setup.data, setup.device, channels_last, on_epoch)
    with naming(row.name):
        found = [paper.train_on_images(point, seed, *given) for seed in setup.options.seeds]
    row.runs = [run for _, run, _ in found]
    row.seconds = sum(run.seconds for run in row.runs)
    best = choose([float("nan") if test is None else test.figures["accuracy"]["all"] for *_, test in found])
    if best is None:
        setup.warn(f"Training of {row.name} diverged with every seed; give it smaller steps by a YAML file.")
        return
    trained, _, test = found[best]
    assert test is not None
    row.heads, row.tests = [trained], [test]


def _untrained(setup: Setup, point: Point) -> Trained:
    """A head that needs no training, made as the default protocol makes it."""
    settings = setup.parser.make(point.method.plain, point.method.name)
    source, seed, device = setup.source, setup.options.seeds[0], torch.device("cpu")

    def plain() -> tuple[Tensor, Tensor]:
        return whole_features(extract(source.backbone, setup.data, "train", options=setup.options.features), device)

    made = make_head(settings, RandomState(seed, device), source.classifier, setup.counts, plain, device)
    return Trained(point, seed, *made)


def _as_it_is(setup: Setup, row: Row) -> Row:
    trained = row.heads[0]
    row.tests = [paper.evaluate_untrained(trained.head, trained.loss, setup.source, setup.data, setup.device)]
    return row
