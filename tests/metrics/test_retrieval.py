import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.errors import UsageError
from lt_lightning.metrics import retrieval_scores


def naive(query, gallery, query_ids, gallery_ids, query_cameras, gallery_cameras) -> tuple[float, float, int]:
    """One query and one gallery image at a time."""
    first, precisions = [], []
    for q, identity, camera in zip(query, query_ids, query_cameras, strict=True):
        ranking = []
        for g, other, its_camera in zip(gallery, gallery_ids, gallery_cameras, strict=True):
            if not (identity == other and camera == its_camera):
                ranking.append((torch.cosine_similarity(q, g, dim=0).item(), identity == other))
        ranking.sort(key=lambda entry: -entry[0])
        matches = [position for position, (_, match) in enumerate(ranking) if match]
        if matches:
            first.append(matches[0] == 0)
            precisions.append(sum((i + 1) / (p + 1) for i, p in enumerate(matches)) / len(matches))
    n = len(first)
    return (sum(first) / n, sum(precisions) / n, n) if n else (math.nan, math.nan, 0)


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(1, 15), st.integers(0, 1000), st.booleans())
def test_transcription_of_the_protocol(q: int, g: int, seed: int, cameras: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(q, 4, generator=generator, dtype=torch.float64)
    gallery = torch.randn(g, 4, generator=generator, dtype=torch.float64)
    ids = torch.randint(3, (q + g,), generator=generator)
    seen_by = torch.randint(2, (q + g,), generator=generator) if cameras else torch.arange(q + g)
    given_cameras = (seen_by[:q], seen_by[q:]) if cameras else (None, None)
    found = retrieval_scores(query, gallery, ids[:q], ids[q:], *given_cameras)
    rank1, mean, number = naive(query, gallery, ids[:q], ids[q:], seen_by[:q], seen_by[q:])
    assert found["queries"].item() == number
    assert found["rank1"].item() == pytest.approx(rank1, abs=1e-6, nan_ok=True)
    assert found["map"].item() == pytest.approx(mean, abs=1e-9, nan_ok=True)


def test_the_same_camera_does_not_count_for_or_against() -> None:
    query, gallery = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    ids, cameras = torch.tensor([7, 7, 3]), torch.tensor([0, 1, 0])
    found = retrieval_scores(query, gallery, torch.tensor([7]), ids, torch.tensor([0]), cameras)
    assert (found["rank1"].item(), found["map"].item()) == (1.0, 1.0)
    found = retrieval_scores(query, gallery, torch.tensor([3]), ids, torch.tensor([0]), cameras)
    assert found["queries"].item() == 0
    assert found["map"].isnan()


def test_queries_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    features, ids = torch.randn(40, 6, generator=generator), torch.arange(40) % 5
    cameras = torch.randint(2, (40,), generator=generator)
    every = [part for values in (features, ids, cameras) for part in (values[:15], values[15:])]
    whole, seen_apart = retrieval_scores(*every[:4]), retrieval_scores(*every)
    monkeypatch.setattr("lt_lightning.metrics.retrieval.QUERIES", 4)
    torch.testing.assert_close(retrieval_scores(*every[:4]), whole)
    torch.testing.assert_close(retrieval_scores(*every), seen_apart)


def test_bad_input_is_refused() -> None:
    two, ids = torch.zeros(2, 3), torch.tensor([0, 1])
    with pytest.raises(UsageError, match=r"`query` must have shape \(N, D\) with at least one row, but got \(0, 3\)"):
        retrieval_scores(two[:0], two, ids[:0], ids)
    with pytest.raises(UsageError, match=r"`gallery_ids` must hold 2 numbers, but got \(1,\)"):
        retrieval_scores(two, two, ids, ids[:1])
    with pytest.raises(UsageError, match="`query` and `gallery` must have features of one width, but got 3 and 2"):
        retrieval_scores(two, two[:, :2], ids, ids)
    with pytest.raises(UsageError, match="`query_cameras` and `gallery_cameras` must be given together"):
        retrieval_scores(two, two, ids, ids, ids)
    for number in (math.nan, math.inf):
        wrong = torch.tensor([[1.0, 2.0, 3.0], [1.0, number, 3.0]])
        with pytest.raises(UsageError, match="`query` must hold finite numbers, but some are infinite or NaN"):
            retrieval_scores(wrong, two, ids, ids)
        with pytest.raises(UsageError, match="`gallery` must hold finite numbers, but some are infinite or NaN"):
            retrieval_scores(two, wrong, ids, ids)
