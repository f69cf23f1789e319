import pytest
import torch

from lt_lightning.functional import calibration_error
from lt_lightning.functional.calibration import reliability_bins


@pytest.mark.parametrize(("confidence", "b"), [(0.5, 1), (0.5001, 2), (0.75, 2), (1.0, 3), (0.0, 0)])
def test_bins_include_their_upper_end(confidence: float, b: int) -> None:
    bins = reliability_bins(
        torch.tensor([[confidence, 0.0]]), torch.tensor([0]), torch.tensor([0, 0]), 1, 4, torch.float64
    )
    assert bins.shape == (3, 1, 4)
    assert bins[0, 0].nonzero().item() == b


def test_bins_are_told_apart_in_the_precision_of_the_results() -> None:
    # In fp32 0.1 is a little above a tenth, yet ten times it rounds to 1.
    probabilities = torch.tensor([[0.1, 0.0]])
    wide, narrow = (
        reliability_bins(probabilities, torch.tensor([0]), torch.tensor([0, 0]), 1, 10, dtype)[0, 0].argmax().item()
        for dtype in (torch.float64, torch.float32)
    )
    assert (wide, narrow) == (1, 0)


def test_an_image_belongs_to_the_group_of_its_target() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    bins = reliability_bins(probabilities, torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 1, torch.float64)
    assert bins[0].tolist() == [[1.0], [1.0]]
    assert bins[2].tolist() == [[0.0], [1.0]]


def test_of_probabilities_that_round_to_1_the_class_predicted_is_as_given() -> None:
    probabilities, targets = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([1])
    rest = (torch.tensor([0, 0, 0]), 1, 1, torch.float64)
    assert reliability_bins(probabilities, targets, *rest).flatten().tolist() == [1, 1, 0]
    assert reliability_bins(probabilities, targets, *rest, predicted=targets).flatten().tolist() == [1, 1, 1]


def test_error_is_the_mean_gap_over_images() -> None:
    bins = torch.tensor([[4.0, 1.0], [2.0, 1.0], [4.0, 0.0]])  # number, confidence, right
    assert calibration_error(bins).item() == pytest.approx((2 + 1) / 5)
    assert calibration_error(torch.zeros(3, 2)).isnan()


def test_confidence_that_is_no_number_makes_the_error_none() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [torch.nan, torch.nan]])
    bins = reliability_bins(probabilities, torch.tensor([0, 1]), torch.tensor([0, 1]), 2, 15, torch.float64)
    assert bins[0].sum(dim=1).tolist() == [1.0, 1.0]
    errors = calibration_error(bins)
    assert errors[0].item() == pytest.approx(0.1)
    assert errors[1].isnan()
