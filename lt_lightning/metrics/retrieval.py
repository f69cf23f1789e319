"""Retrieval, as in person re-identification: Rank-1 and mean average precision."""

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.functional.classifiers import directions
from lt_lightning.functional.precision import outside_autocast
from lt_lightning.functional.ranking import average_precision

QUERIES = 512
"""Queries ranked at a time: the similarities of all of them with a large gallery would not fit."""


@torch.no_grad()
def retrieval_scores(
    query: Tensor,
    gallery: Tensor,
    query_ids: Tensor,
    gallery_ids: Tensor,
    query_cameras: Tensor | None = None,
    gallery_cameras: Tensor | None = None,
) -> dict[str, Tensor]:
    """Rank-1 rate and mean average precision of single queries, by cosine similarity.

    For each query the gallery's images of the same identity from the same camera are left out. Queries that then have
    no image of their identity left are not counted, as in the published evaluation of Market-1501.

    Args:
        query: Features of the queries, ``(Q, D)``.
        gallery: Features of the gallery, ``(G, D)``.
        query_ids: ``(Q,)``, integers.
        gallery_ids: ``(G,)``, integers; an identity that no query has (distractors) is never a match. Images that the
            benchmark does not rank at all (Market-1501's junk, identity -1) are to be left out of the gallery.
        query_cameras: ``(Q,)``, integers; ``None`` for one camera per image, hence nothing left out.
        gallery_cameras: ``(G,)``, likewise; given if and only if ``query_cameras`` is.

    Returns:
        Scalars: ``rank1`` and ``map``, in [0, 1], NaN without a query that counts, and ``queries``, how many count.

    Raises:
        UsageError: If shapes do not belong together, features are not finite, or cameras are given for one side only.

    References:
        Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. Average precision is the mean of the
        precisions at the matches; that benchmark's own script averages neighbouring precisions (trapezoids), which is
        up to a point lower.
    """
    _check("query", query, query_ids, query_cameras)
    _check("gallery", gallery, gallery_ids, gallery_cameras)
    if query.shape[1] != gallery.shape[1]:
        raise UsageError(
            f"`query` and `gallery` must have features of one width, but got {query.shape[1]} and {gallery.shape[1]}."
        )
    if (query_cameras is None) != (gallery_cameras is None):
        raise UsageError("`query_cameras` and `gallery_cameras` must be given together, or neither of them.")
    hits, precisions = [], []
    with outside_autocast(query):
        columns = directions(gallery).t()
        for start in range(0, len(query), QUERIES):
            rows = slice(start, start + QUERIES)
            similarity = directions(query[rows]) @ columns
            relevant = query_ids[rows].unsqueeze(1) == gallery_ids
            if query_cameras is not None and gallery_cameras is not None:
                left_out = relevant & (query_cameras[rows].unsqueeze(1) == gallery_cameras)
                similarity = similarity.masked_fill(left_out, -torch.inf)
                relevant = relevant & ~left_out
            precisions.append(average_precision(similarity, relevant))
            hits.append(relevant.gather(1, similarity.argmax(dim=1, keepdim=True)).squeeze(1))
    precision = torch.cat(precisions)
    counted = ~precision.isnan()
    number = counted.sum()
    return {"rank1": (torch.cat(hits) & counted).sum() / number, "map": precision.nanmean(), "queries": number}


def _check(name: str, features: Tensor, ids: Tensor, cameras: Tensor | None) -> None:
    if features.ndim != 2 or len(features) == 0:
        raise UsageError(f"`{name}` must have shape (N, D) with at least one row, but got {tuple(features.shape)}.")
    if not bool(features.isfinite().all()):
        raise UsageError(f"`{name}` must hold finite numbers, but some are infinite or NaN, which cannot be ranked.")
    for what, values in (("ids", ids), ("cameras", cameras)):
        if values is not None and values.shape != features.shape[:1]:
            raise UsageError(f"`{name}_{what}` must hold {len(features)} numbers, but got {tuple(values.shape)}.")
