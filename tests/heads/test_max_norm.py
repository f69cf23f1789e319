from collections.abc import Callable
from typing import Any

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.functional.classifiers import row_norms
from lt_lightning.heads import Head, MaxNormHead

WEIGHT = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]])


def test_reference_numbers(assert_golden: Callable[..., None]) -> None:
    def project(head: Head, case: dict[str, Any]) -> None:
        head.project_()
        expected = torch.tensor(case["projected_weight"], dtype=torch.float64).to(head.weight.dtype)
        tolerance = 1e-9 if expected.dtype == torch.float64 else 1e-6
        torch.testing.assert_close(head.weight.detach(), expected, rtol=tolerance, atol=tolerance)

    assert_golden("MaxNormHead", project)


def test_the_radius_lies_a_tenth_of_the_way_up_unless_said() -> None:
    head = MaxNormHead(2, [5, 3, 1])
    head.init_from(WEIGHT, None)
    assert head.radius.item() == pytest.approx(1 + 0.1 * (3 - 1))


@pytest.mark.parametrize(("threshold", "radius"), [(0.0, 1.0), (0.1, 1.2), (1.0, 3.0)])
def test_radius_is_measured_from_stage_1(threshold: float, radius: float) -> None:
    head = MaxNormHead(2, [9, 5, 1], threshold=threshold)
    head.init_from(WEIGHT, None)
    assert head.radius.item() == pytest.approx(radius)


def test_a_given_radius_stays() -> None:
    head = MaxNormHead(2, [9, 5, 1], radius=0.7)
    head.init_from(WEIGHT, None)
    assert head.radius.item() == pytest.approx(0.7)


def test_a_fresh_head_measures_its_own_weights() -> None:
    head = MaxNormHead(4, [9, 5, 1])
    norms = row_norms(head.weight)
    assert norms.min() <= head.radius <= norms.max()


def test_norms_stay_within_the_radius_after_every_step() -> None:
    head = MaxNormHead(2, [9, 5, 1])
    head.init_from(WEIGHT, torch.tensor([5.0, 6.0, 7.0]))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.5, momentum=0.9)
    for step in range(5):
        optimizer.zero_grad()
        features = torch.randn(8, 2, generator=torch.Generator().manual_seed(step))
        torch.nn.functional.cross_entropy(head(features), torch.arange(8) % 3).backward()
        optimizer.step()
        bias, weight = head.bias.clone(), head.weight.clone()
        head.project_()
        assert torch.equal(head.bias, bias)
        assert bool((row_norms(head.weight) <= head.radius * (1 + 1e-6)).all())
        short = row_norms(weight) <= head.radius
        assert torch.equal(head.weight[short], weight[short])


def test_projection_is_in_place_and_leaves_no_graph() -> None:
    head = MaxNormHead(2, [9, 5, 1], radius=0.5)
    parameter = head.weight
    head.project_()
    assert head.weight is parameter
    assert parameter.is_leaf
    assert parameter.grad_fn is None


def test_a_resumed_run_keeps_the_radius() -> None:
    head = MaxNormHead(2, [9, 5, 1])
    head.init_from(WEIGHT, None)
    resumed = MaxNormHead(2, [9, 5, 1])
    resumed.load_state_dict(head.state_dict())
    assert torch.equal(resumed.radius, head.radius)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": 0.0}, r"`radius` must be above 0, but got 0\.0"),
        ({"radius": float("nan")}, "`radius` must be a finite number, but got nan"),
        ({"threshold": 1.5}, r"`threshold` must lie in \[0, 1\], but got 1\.5"),
        ({"project_every": "batch"}, "`project_every` must be one of step, epoch, but got 'batch'"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MaxNormHead(2, [9, 5, 1], **arguments)


def test_when_it_projects() -> None:
    assert MaxNormHead(2, [9, 5]).project_every == "step"
    assert MaxNormHead(2, [9, 5], project_every="epoch").project_every == "epoch"
