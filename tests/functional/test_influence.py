import torch
from torch.nn import functional as F

from lt_lightning.functional import influence


def test_equals_the_norm_of_the_gradient_by_the_classifier() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    targets = torch.tensor([0, 2, 1, 1, 0])
    losses = F.cross_entropy(features @ weight.T, targets, reduction="none")
    found = influence(losses, features)
    for i in range(5):
        (gradient,) = torch.autograd.grad(losses[i], weight, retain_graph=True)
        torch.testing.assert_close(found[i], gradient.abs().sum(), rtol=1e-12, atol=0)


def test_has_the_dtype_of_the_losses() -> None:
    assert influence(torch.ones(2), torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float32
