from typing import Any

import pytest
import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.heads import NCMHead

COUNTS = [6, 3, 1]
TARGETS = torch.tensor([0, 1, 0, 0, 2, 1, 0, 1, 0, 0])


def drawn(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 1.5


def made(**options: Any) -> NCMHead:
    head = NCMHead(4, COUNTS, **options).double()
    head.init_from_features(drawn(10, 0), TARGETS)
    return head


def by_hand(x: Tensor, metric: str, centre: bool) -> list[float]:
    """Kang et al.'s order of steps, an image and a class at a time."""
    train = drawn(10, 0)
    middle = train.mean(0) if centre else torch.zeros(4)
    divide = centre or metric == "cosine"

    def prepare(vector: Tensor) -> Tensor:
        moved = vector - middle
        return moved / moved.norm() if divide else moved

    logits = []
    for label in range(3):
        mean = torch.stack([prepare(row) for row in train[label == TARGETS]]).mean(0)
        if metric == "cosine":
            logits.append(float(prepare(x) @ mean / mean.norm()))
        else:
            logits.append(float(-(prepare(x) - mean).square().sum() + prepare(x).square().sum()))
    return logits


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("centre", [False, True])
def test_against_the_definition(metric: Any, centre: bool) -> None:
    images = drawn(5, 1)
    expected = torch.tensor([by_hand(x, metric, centre) for x in images], dtype=torch.float64)
    torch.testing.assert_close(made(metric=metric, centre=centre).predict(images), expected, rtol=1e-12, atol=1e-12)


def test_euclidean_chooses_the_nearest_mean() -> None:
    head, images = made(metric="euclidean"), drawn(20, 2)
    assert torch.equal(head.predict(images).argmax(1), torch.cdist(images, head.means).argmin(1))


def test_cosines_ignore_how_long_an_image_is() -> None:
    head, images = made(), drawn(5, 1)
    torch.testing.assert_close(head.predict(7 * images), head.predict(images))
    assert float(head.predict(images).detach().abs().max()) <= 1 + 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_before_features_are_centred(dtype: torch.dtype) -> None:
    head = NCMHead(4, COUNTS, metric="euclidean", centre=True)
    head.init_from_features(drawn(10, 0).float(), TARGETS)
    images = drawn(5, 1).to(dtype)
    assert torch.equal(head.predict(images), head.predict(images.float()))


def test_the_order_of_images_leaves_no_trace() -> None:
    features = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(1000) % 3
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(1))
    heads = [NCMHead(4, [334, 333, 333], centre=True) for _ in range(2)]
    heads[0].init_from_features(features, targets)
    heads[1].init_from_features(features[order], targets[order])
    torch.testing.assert_close(heads[0].means, heads[1].means, rtol=1e-6, atol=1e-7)
    assert not heads[0].means.requires_grad


def test_without_means_there_are_no_logits() -> None:
    head = NCMHead(4, COUNTS)
    head.init_from(torch.ones(3, 4), None)
    assert bool(head.predict(torch.ones(2, 4)).isnan().all())


@pytest.mark.parametrize("centre", [False, True])
def test_a_checkpoint_holds_all_of_it(centre: bool) -> None:
    head, other = made(centre=centre), NCMHead(4, COUNTS, centre=centre).double()
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.predict(drawn(3, 3)), head.predict(drawn(3, 3)))
    assert bool(head.centre_of_features.any()) is centre


def test_an_image_without_features_is_no_nan() -> None:
    assert bool(made().predict(torch.zeros(1, 4)).isfinite().all())
    assert bool(made(centre=True).predict(drawn(10, 0).mean(0, keepdim=True)).isfinite().all())


def test_features_of_another_training_set_are_refused() -> None:
    head = NCMHead(2, [2, 1])
    head.init_from_features(torch.ones(3, 2), torch.tensor([0, 1, 0]))
    with pytest.raises(UsageError, match=r"`features` must have shape \(N, 2\), but got \(3, 4\)"):
        head.init_from_features(torch.ones(3, 4), torch.tensor([0, 1, 0]))
    with pytest.raises(UsageError, match=r"`features` must have shape \(N, 2\), but got \(3, 2, 1\)"):
        head.init_from_features(torch.ones(3, 2, 1), torch.tensor([0, 1, 0]))
    with pytest.raises(
        UsageError, match=r"each class as often as `class_counts`, \[2, 1\], for `NCMHead`, but got \[1, 2\]"
    ):
        head.init_from_features(torch.ones(3, 2), torch.tensor([0, 1, 1]))
    with pytest.raises(UsageError, match=r"`class_counts`, \[2, 1\], .* but got \[2, 0, 1\]"):
        head.init_from_features(torch.ones(3, 2), torch.tensor([0, 2, 0]))
    with pytest.raises(UsageError, match=r"8142 numbers, among them 1 for class 8141, .* them 2 for class 8141\.$"):
        NCMHead(2, [1] * 8142).init_from_features(torch.ones(8143, 2), torch.arange(8143).clamp_max(8141))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="`metric` must be one of cosine, euclidean, but got 'l2'"):
        NCMHead(4, COUNTS, metric="l2")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="each class as often"):
        NCMHead(4, COUNTS).init_from_features(drawn(10, 0), TARGETS.flip(0) * 0)
    with pytest.raises(UsageError, match=r"`metric` euclidean and `centre` true .* only euclidean without centring"):
        made(metric="euclidean", centre=True).to_linear()
