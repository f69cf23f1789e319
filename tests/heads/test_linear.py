import torch

from lt_lightning.heads import LinearHead


def test_logits() -> None:
    head = LinearHead(2, [5, 3])
    head.init_from(torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([0.5, 0.0]))
    assert head(torch.tensor([[3.0, 1.0]])).tolist() == [[5.5, -1.0]]


def test_reset_keeps_random_weights() -> None:
    head = LinearHead(2, [5, 3], reset=True)
    before = head.weight.clone()
    head.init_from(torch.full((2, 2), 7.0), torch.full((2,), 7.0))
    assert torch.equal(head.weight, before)
    assert not bool((head.bias == 7).any())
