"""Logistic regression against scikit-learn's, and what it must not depend on."""

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from lt_lightning.errors import UsageError
from lt_lightning.functional import logistic_regression
from lt_lightning.functional.logistic_regression import LinearFit, Standardization, fit_logistic_regression
from lt_lightning.functional.logistic_regression import standardization as standardized


def drawn(number=400, features=6, classes=5, dtype=torch.float64):
    """Features of a long tail, their scales far apart, so that classes overlap."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(classes, features, generator=generator, dtype=torch.float64)
    priors = torch.logspace(0, -1, classes)
    targets = torch.multinomial(priors, number, replacement=True, generator=generator)
    noise = torch.randn(number, features, generator=generator, dtype=torch.float64)
    scales = torch.logspace(-2, 2, features, dtype=torch.float64)
    return ((means[targets] + noise) * scales + 3).to(dtype), targets


def logits(fit, features):
    found = features.to(fit.weight.dtype) @ fit.weight.t() + fit.bias
    return found - found.mean(dim=1, keepdim=True)  # what all classes have in common decides nothing


def objective(fit, features, targets, l2):
    """Penalised cross entropy, by its formula."""
    scaling = standardized(features)
    weight = scaling.unfolded(fit).weight
    entropy = torch.nn.functional.cross_entropy(features @ fit.weight.t() + fit.bias, targets)
    return entropy + l2 / 2 * weight.square().sum()


@pytest.mark.parametrize("l2", [1.0, 0.1, 1e-2, 1e-3])
def test_it_is_scikit_learns(l2):
    features, targets = drawn()
    fit = fit_logistic_regression(features, targets, 5, l2)
    scaled = ((features - features.mean(dim=0)) / features.std(dim=0, correction=0)).numpy()
    theirs = LogisticRegression(C=1 / (l2 * len(targets)), tol=1e-10, max_iter=10_000).fit(scaled, targets.numpy())
    found = torch.from_numpy(theirs.decision_function(scaled))
    torch.testing.assert_close(logits(fit, features), found - found.mean(dim=1, keepdim=True), rtol=0, atol=5e-3)


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_nothing_near_it_is_better(l2):
    features, targets = drawn()
    fit = fit_logistic_regression(features, targets, 5, l2)
    least = objective(fit, features, targets, l2)
    generator = torch.Generator().manual_seed(1)
    deviation = standardized(features).deviation
    for size in (0.03, 0.3):
        for _ in range(10):
            moved = size * torch.randn(5, 6, generator=generator, dtype=torch.float64) / deviation
            assert objective(LinearFit(fit.weight + moved, fit.bias), features, targets, l2) > least


def test_scale_and_place_of_features_do_not_matter():
    features, targets = drawn()
    plain = fit_logistic_regression(features, targets, 5, 0.01)
    moved = fit_logistic_regression(1e3 * features - 7, targets, 5, 0.01)
    torch.testing.assert_close(logits(plain, features), logits(moved, 1e3 * features - 7), rtol=0, atol=1e-6)


def test_it_ends_where_it_ends_wherever_it_begins():
    features, targets = drawn()
    once = fit_logistic_regression(features, targets, 5, 0.01)
    again = fit_logistic_regression(
        features, targets, 5, 0.01, start=fit_logistic_regression(features, targets, 5, 1.0)
    )
    torch.testing.assert_close(logits(once, features), logits(again, features), rtol=0, atol=5e-3)


def test_a_small_penalty_ends_where_it_ends_wherever_it_begins():
    digits = load_digits()
    features, targets = torch.from_numpy(digits.data[:400]).float(), torch.from_numpy(digits.target[:400])
    once = fit_logistic_regression(features, targets, 10, 1e-5)
    start = fit_logistic_regression(features, targets, 10, 1e-4)
    again = fit_logistic_regression(features, targets, 10, 1e-5, start)
    scaling = standardized(features)
    one, two = (scaling.unfolded(fit).weight for fit in (once, again))
    assert (one - two).norm() < 0.02 * one.norm()


def test_too_few_steps_are_said():
    features, targets = drawn()
    with pytest.warns(UserWarning, match=r"`l2` 0.001 is off its minimum: .* gradient of \de-0\d in 5 steps"):
        fit_logistic_regression(features, targets, 5, 1e-3, max_iterations=5)


def test_it_goes_nowhere_from_the_minimum():
    features, targets = drawn()
    once = fit_logistic_regression(features, targets, 5, 0.1)
    again = fit_logistic_regression(features, targets, 5, 0.1, start=once, max_iterations=1)
    torch.testing.assert_close(logits(once, features), logits(again, features), rtol=0, atol=1e-3)


def test_the_penalty_is_on_weights_of_the_scaling_that_is_given():
    features, targets = drawn()
    features = (features - features.mean(dim=0)) / features.std(dim=0)
    ones, zeros = torch.ones(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    plain = fit_logistic_regression(features, targets, 5, 0.09, scaling=Standardization(zeros, ones))
    other = fit_logistic_regression(features, targets, 5, 0.01, scaling=Standardization(zeros, 3 * ones))
    torch.testing.assert_close(logits(plain, features), logits(other, features), rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_features_of_other_types_are_computed_with_in_fp32(dtype):
    features, targets = drawn(dtype=dtype)
    exact = fit_logistic_regression(features.double(), targets, 5, 0.01)
    fit = fit_logistic_regression(features, targets, 5, 0.01)
    assert {fit.weight.dtype, fit.bias.dtype} == {torch.float32}
    torch.testing.assert_close(logits(fit, features).double(), logits(exact, features), rtol=0, atol=0.02)


def test_parts_of_the_images_give_what_all_of_them_give(monkeypatch):
    features, targets = drawn()
    whole = fit_logistic_regression(features, targets, 5, 0.01)
    monkeypatch.setattr(logistic_regression, "_ROWS", 7)
    torch.testing.assert_close(fit_logistic_regression(features, targets, 5, 0.01), whole, rtol=1e-6, atol=1e-6)


def test_features_that_do_not_vary_get_no_weight():
    features, targets = drawn(dtype=torch.float32)
    features[:, 2] = 0.1  # whose mean is not 0.1 to the last bit
    features[:, 4] = 0
    fit = fit_logistic_regression(features, targets, 5, 1e-5)
    assert fit.weight[:, [2, 4]].abs().max() < 1e-3 * fit.weight.abs().max()
    assert fit.weight.isfinite().all()


def test_what_rounding_leaves_of_constant_features_is_no_deviation():
    constants = torch.logspace(-3, 3, 40, dtype=torch.float32).repeat(999, 1)
    assert torch.equal(standardized(constants).deviation, torch.ones(40))
    coins = (torch.arange(1000) % 2 * 2 - 1).float()
    found = standardized(torch.stack((coins, coins, 1e-8 * coins), dim=1)).deviation  # nor where the mean is 0
    torch.testing.assert_close(found, torch.ones(3))


def test_a_feature_of_a_huge_scale_does_not_make_the_others_constant():
    coins = (torch.arange(1000) % 2 * 2 - 1).float()
    found = standardized(torch.stack((1e7 * coins, 0.5 * coins, 0.1 * coins), dim=1)).deviation
    torch.testing.assert_close(found, torch.tensor([1e7, 0.5, 0.1]))


def test_a_class_without_images_is_never_likely():
    features, targets = drawn()
    fit = fit_logistic_regression(features, targets, 6, 0.01)
    assert fit.weight.shape == (6, 6)
    assert (logits(fit, features).argmax(dim=1) != 5).all()


def test_separable_classes_stay_finite():
    features = torch.eye(4).repeat(5, 1)
    fit = fit_logistic_regression(features, torch.arange(4).repeat(5), 4, 1e-5)
    assert torch.equal(logits(fit, torch.eye(4)).argmax(dim=1), torch.arange(4))
    assert fit.weight.isfinite().all()


def test_autocast_and_inference_mode_change_nothing():
    features, targets = drawn(dtype=torch.float32)
    plain = fit_logistic_regression(features, targets, 5, 0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        other = fit_logistic_regression(features, targets, 5, 0.01)
    torch.testing.assert_close(other, plain)
    assert not other.weight.is_inference()  # it may be trained on
    assert not other.bias.is_inference()


def test_folding_back_and_forth():
    scaling = Standardization(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 4.0]))
    fit = LinearFit(torch.tensor([[1.0, 2.0], [3.0, -4.0]]), torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(scaling.unfolded(scaling.folded(fit)), fit)
    features = torch.randn(3, 2)
    expected = (features - scaling.mean) / scaling.deviation @ fit.weight.t() + fit.bias
    folded = scaling.folded(fit)
    torch.testing.assert_close(features @ folded.weight.t() + folded.bias, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"l2": 0.0}, "`l2` must be above 0, but got 0.0"),
        ({"l2": float("nan")}, "`l2` must be a finite number, but got nan"),
        ({"num_classes": 4}, "`targets` must be classes from 0 to 3"),
        ({"targets": torch.full((400,), -1)}, "`targets` must be classes from 0 to 4"),
        ({"features": torch.full((400, 6), float("inf"))}, "`features` must be finite"),
        ({"features": torch.zeros(400)}, r"`features` must have shape \(N, D\)"),
        ({"features": torch.zeros(0, 6), "targets": torch.zeros(0, dtype=torch.int64)}, "one at least"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, message):
    features, targets = drawn()
    with pytest.raises(UsageError, match=message):
        fit_logistic_regression(**({"features": features, "targets": targets, "num_classes": 5, "l2": 0.1} | change))


def test_progress_counts_passes_over_the_features(monkeypatch):
    monkeypatch.setattr(logistic_regression, "_ROWS", 16)
    (features, targets), seen = drawn(40), []
    fit_logistic_regression(features, targets, 5, 0.01, on_part=seen.append)
    assert seen[:3] == [0.4, 0.4, 0.2]
    assert len(seen) % 3 == 0
    assert len(seen) > 9
