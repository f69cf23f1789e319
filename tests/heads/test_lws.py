from collections.abc import Callable
from typing import Any

import torch

from lt_lightning.heads import Head, LWSHead


def test_reference_numbers(assert_golden: Callable[..., None]) -> None:
    def set_scales(head: Head, case: dict[str, Any]) -> None:
        assert isinstance(head, LWSHead)
        head.scales.copy_(torch.tensor(case["scales"], dtype=torch.float64))

    assert_golden("LWSHead", set_scales)


def test_it_starts_as_the_classifier_of_stage_1() -> None:
    head = LWSHead(2, [5, 3])
    head.init_from(torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([0.5, 0.0]))
    assert head(torch.tensor([[3.0, 1.0]])).tolist() == [[5.5, -1.0]]


def test_training_moves_the_scales_alone() -> None:
    head = LWSHead(2, [5, 3])
    weight, bias = head.weight.clone(), head.bias.clone()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, weight_decay=0.1)
    head(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(head.weight, weight)
    assert torch.equal(head.bias, bias)
    assert not bool((head.scales == 1).any())
