import math

import torch

from lt_lightning.heads import DisAlignHead, LinearHead

WEIGHT = torch.tensor([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.7]], dtype=torch.float64)
BIAS = torch.tensor([0.1, -0.2, 0.4], dtype=torch.float64)
FEATURES = torch.tensor([[0.5, 1.5], [-2.0, 0.3]], dtype=torch.float64)


def made() -> DisAlignHead:
    head = DisAlignHead(2, [9, 5, 1]).double()
    head.init_from(WEIGHT, BIAS)
    return head


def test_it_starts_as_stage_one_to_the_bit() -> None:
    plain = LinearHead(2, [9, 5, 1]).double()
    plain.init_from(WEIGHT, BIAS)
    assert torch.equal(made().predict(FEATURES), plain.predict(FEATURES))
    head = made()
    torch.testing.assert_close(head.confidence.weight.detach(), torch.full((1, 2), 0.1, dtype=torch.float64))
    assert head.confidence.bias.tolist() == [0.0]


def test_against_the_papers_equations() -> None:
    head = made()
    a, b, u, c = [1.5, 0.7, -0.2], [0.3, -1.0, 2.0], [0.4, -0.6], 0.25
    with torch.no_grad():
        for parameter, values in ((head.scales, a), (head.offsets, b), (head.confidence.weight, [u])):
            parameter.copy_(torch.tensor(values))
        head.confidence.bias.fill_(c)
    head.requires_grad_(False)
    found = head.predict(FEATURES).tolist()
    for i, x in enumerate(FEATURES.tolist()):
        sigma = 1 / (1 + math.exp(-(float(head.confidence.weight[0] @ FEATURES[i]) + c)))
        for k in range(3):
            z = sum(w * v for w, v in zip(WEIGHT[k].tolist(), x, strict=True)) + float(BIAS[k])
            moved = float(head.scales[k]) * z + float(head.offsets[k])
            assert math.isclose(found[i][k], sigma * moved + (1 - sigma) * z, rel_tol=1e-12)


def test_everything_that_trains_gets_a_gradient_in_the_end() -> None:
    head = made()
    optimizer = torch.optim.SGD([p for p in head.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # at a = 1, b = 0 the confidence changes nothing yet, so it moves from the second step on
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(FEATURES), torch.tensor([2, 0])).backward()
        optimizer.step()
    gradients = {name: p.grad for name, p in head.named_parameters() if p.requires_grad}
    assert gradients.keys() == {"scales", "offsets", "confidence.weight", "confidence.bias"}
    assert all(bool(gradient.any()) for gradient in gradients.values() if gradient is not None)
    assert torch.equal(head.weight, WEIGHT)
    assert torch.equal(head.bias, BIAS)  # type: ignore[arg-type]
