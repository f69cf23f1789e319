import torch

from lt_lightning.functional.fisher import fisher_ratio


def test_scatters_add_up_to_the_total_scatter() -> None:
    generator = torch.Generator().manual_seed(0)
    features = 5 + torch.randn(40, 3, generator=generator, dtype=torch.float64)
    targets = torch.randint(4, (40,), generator=generator)
    sums = torch.zeros(5, 3, dtype=torch.float64).index_add(0, targets, features)
    between, within = fisher_ratio(sums, features.square().sum(), torch.bincount(targets, minlength=5))
    total = (features - features.mean(0)).square().sum() / 40
    torch.testing.assert_close(between + within, total)
    assert 0 < between < within


def test_classes_of_one_point_have_no_scatter_within() -> None:
    points = torch.tensor([[0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    between, within = fisher_ratio(3 * points, 3 * points.square().sum(), torch.tensor([3, 3]))
    assert between.item() == 1.0
    assert within.item() == 0.0


def test_rounding_leaves_no_scatter_below_0() -> None:
    _, within = fisher_ratio(torch.tensor([[3.0]]), torch.tensor(2.9999), torch.tensor([3]))  # three times the number 1
    assert within.item() == 0.0
