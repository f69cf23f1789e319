"""Many stage-2 methods on the frozen features of one checkpoint."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lt_lightning.backbones import Backbone
from lt_lightning.comparing.checks import (
    check_chosen,
    check_favoured,
    check_memorised,
    check_order,
    check_tested,
    check_validated,
)
from lt_lightning.comparing.extraction import extract_all
from lt_lightning.comparing.outcome import BY_CHANCE, OTHER_ORDER, Comparison, Options, Row
from lt_lightning.comparing.paper_rows import paper_rows
from lt_lightning.comparing.rows import method_rows, oracle_row, stage1_row
from lt_lightning.comparing.setup import Setup
from lt_lightning.comparing.testing import compare_on_validation, compare_rows, evaluate_rows, find_winner
from lt_lightning.data import LTDataModule
from lt_lightning.data.same_images import check_same_images
from lt_lightning.devices.modes import usual_modes
from lt_lightning.devices.tf32 import tf32
from lt_lightning.features import Features


def compare(
    checkpoint: str,
    backbone: Backbone,
    data: LTDataModule,
    methods: str | Sequence[str] = "all",
    grid: Mapping[str, Any] | None = None,
    options: Options | None = None,
) -> Comparison:
    """Train stage-2 methods on a checkpoint's frozen features, choose their settings, and test each choice once.

    Settings are chosen by the accuracy on validation images that neither stage has seen, mean over classes and seeds;
    test images are looked at when all choices are made. Without such images each method runs with its own settings.

    Args:
        checkpoint: File that stage 2 starts from: one of stage 1, or a plain PyTorch one.
        backbone: Feature extractor that the checkpoint holds the weights of.
        data: Long-tailed training images, test images and, to select on, validation images.
        methods: See :func:`find_methods`.
        grid: Values by key: ``lr``, ``weight_decay``, ``momentum``, or an argument of a method's loss or head. By
            default eight points of most methods: learning rates, or what training-free methods have instead.
        options: Seeds, views and the rest.

    Raises:
        UsageError: If something does not fit, before features are extracted wherever it can be known by then.
    """
    with usual_modes(), torch.random.fork_rng(devices=[]):
        check_same_images(data, ("train", "val", "test"))
        setup = Setup(checkpoint, backbone, data, methods, grid or {}, options or Options())
        with tf32(setup.on_images, setup.device):  # on features in fp32 proper, on images as `fit` does
            return _compare(setup)


def _compare(setup: Setup) -> Comparison:
    check_tested(setup)
    check_validated(setup)
    check_chosen(setup)
    started = time.perf_counter()
    if setup.on_images:
        rows = paper_rows(setup)
        compare_rows(setup, rows, None)
        seconds = {"features": 0.0, "training": sum(row.seconds for row in rows)}
        return _found(setup, rows, (None, None), {}, seconds | {"all": time.perf_counter() - started})
    if not setup.selection.allowed:  # said first: extraction may take hours
        aside = " The values of `grid` are left aside." if setup.grid else ""
        back = f" {setup.put_back} images that `data.val_from` holds out train as well." if setup.put_back else ""
        setup.warn(setup.selection.reason + aside + back)
    features = extract_all(setup)
    extracted = time.perf_counter()
    doubt = _doubt_of_order(setup, features)
    rows = [stage1_row(setup, features), *method_rows(setup, features)]
    if setup.pool is not None:
        rows.append(oracle_row(setup, setup.pool, features))
    trained = time.perf_counter()
    evaluate_rows(setup, rows, features)
    check_favoured(setup, rows[0], features)
    winner, why_none = find_winner(setup, rows) if doubt is None else (None, doubt)
    compare_rows(setup, rows, winner)
    compare_on_validation(setup, rows, winner, features)
    seconds = {"features": extracted - started, "training": trained - extracted}
    return _found(setup, rows, (winner, why_none), features, seconds | {"all": time.perf_counter() - started})


def _doubt_of_order(setup: Setup, features: dict[str, Features]) -> str | None:
    """Why a file that is handed back might give images the names of others; ``None`` where names say the order."""
    in_order, knows = check_order(setup, features), check_memorised(setup, features)
    if setup.source.order_is_said:
        return None
    return OTHER_ORDER if not in_order else BY_CHANCE if not knows else None


def _found(
    setup: Setup,
    rows: list[Row],
    winner: tuple[Row | None, str | None],
    features: dict[str, Features],
    seconds: dict[str, float],
) -> Comparison:
    return Comparison(
        rows,
        *winner,
        setup.selection,
        setup.source,
        setup.data,
        setup.trained_on,
        features,
        setup.options,
        setup.grid,
        setup.warnings,
        seconds,
    )
