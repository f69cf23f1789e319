"""Constants that a loss has when none are asked of it: those of papers and published code, as its docstring says."""

import inspect
from typing import Any

import pytest

from lt_lightning import losses

DEFAULTS: dict[str, dict[str, Any]] = {
    "BalancedSoftmaxLoss": {},
    "ClassBalancedLoss": {"beta": 0.9999, "kind": "softmax", "gamma": 2.0},
    "CrossEntropyLoss": {"label_smoothing": 0.0},
    "ELMLoss": {"max_margin": 0.5, "scale": 30.0, "lam": 1.0, "target_margin": True},
    "EqualizationLossV2": {"gamma": 12.0, "mu": 0.8, "alpha": 4.0},
    "FocalLoss": {"gamma": 2.0},
    "GeneralizedReweightLoss": {"rho": 1.2},
    "HardSelectionLogisticLoss": {"m": 25.0, "beta": 10.0, "alpha": None},
    "HardSelectionSoftmaxLoss": {"m": 25.0, "beta": 10.0, "alpha": None},
    "InfluenceBalancedLoss": {"alpha": 1000.0, "epsilon": 1e-3, "gamma": 0.0},
    "LDAMLoss": {"max_margin": 0.5, "scale": 30.0},
    "LGLINRLoss": {"beta": 1.0, "gather": False},
    "LORTLoss": {"delta": 0.98, "gap": None},
    "LabelAwareSmoothingLoss": {"head": 0.4, "tail": 0.1, "shape": "concave", "power": 2.0},
    "LargeMarginSoftmaxLoss": {"reg_lambda": 0.3},
    "LogisticLoss": {},
    "LogitAdjustedLoss": {"tau": 1.0},
    "MaximumMarginLDAMLoss": {"max_margin": 0.5, "scale": 30.0, "gamma": 1.1},
    "SeesawLoss": {"p": 0.8, "q": 2.0, "floor": 0.01},
    "SoftSelectionLogisticLoss": {"r": 2.0, "beta": 10.0, "alpha": None},
    "VectorScalingLoss": {"gamma": 0.05, "tau": 0.75},
}
COMMON = {"weight": None, "reduction": "mean", "init_bias": False}


def test_every_loss_is_here() -> None:
    assert set(DEFAULTS) == {name for name in losses.__all__ if not inspect.isabstract(getattr(losses, name))}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_the_published_constants(name: str) -> None:
    parameters = list(inspect.signature(getattr(losses, name)).parameters.values())
    assert parameters[0].name == "class_counts"
    found = {each.name: each.default for each in parameters[1:]}
    assert {key: value for key, value in found.items() if key not in COMMON} == DEFAULTS[name]
    assert all(value == COMMON[key] for key, value in found.items() if key in COMMON)
