from collections.abc import Callable

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.functional import with_gradient


def test_given_gradient_is_scaled_by_what_comes_from_above() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    gradient = torch.arange(6.0).view(2, 3)
    losses = with_gradient(logits, torch.tensor([5.0, 7.0]), gradient)
    assert losses.tolist() == [5.0, 7.0]
    (losses * torch.tensor([2.0, -1.0])).sum().backward()
    torch.testing.assert_close(logits.grad, gradient * torch.tensor([[2.0], [-1.0]]))
    logits.grad = None
    (3 * with_gradient(logits, torch.tensor(5.0), gradient)).backward()
    torch.testing.assert_close(logits.grad, 3 * gradient)


@pytest.mark.parametrize("above", [torch.sum, lambda losses: (losses * losses.exp()).sum()])
def test_a_second_derivative_is_refused(above: Callable[[torch.Tensor], torch.Tensor]) -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    value = above(with_gradient(logits, torch.zeros(2), torch.ones(2, 3)))
    torch.autograd.grad(value, logits, retain_graph=True)
    with pytest.raises(UsageError, match="differentiable once"):
        torch.autograd.grad(value, logits, create_graph=True)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by dynamo of torch 2.9
def test_a_compiled_step_has_the_same_gradient() -> None:
    def step(logits: torch.Tensor) -> torch.Tensor:
        return with_gradient(logits, logits.detach().square().sum(dim=1), 2 * logits.detach()).sum()

    logits = torch.arange(6.0).view(2, 3).requires_grad_()
    torch.compile(step, fullgraph=True, backend="eager")(logits).backward()
    torch.testing.assert_close(logits.grad, 2 * logits.detach())
