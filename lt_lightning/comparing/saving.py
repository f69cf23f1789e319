"""Checkpoints of what a comparison has trained."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lt_lightning.checkpoints import UnfitHeadError, hand_back_file
from lt_lightning.comparing.methods import name_in_files
from lt_lightning.comparing.outcome import Comparison, Row
from lt_lightning.comparing.selection import better, choose
from lt_lightning.comparing.settings import Plain
from lt_lightning.comparing.training import Trained
from lt_lightning.data.network_input import input_shape
from lt_lightning.drafts import UnwritableError
from lt_lightning.errors import UsageError
from lt_lightning.modules import save_retrained

_BETTER = "better_"
"""Stands before the name of the file that is handed back."""
_LONGEST = 255
"""Bytes that file systems allow a name to have."""


def check_name(checkpoint: Path) -> None:
    """Refuse a checkpoint beside whose name there is no room for that of the better one.

    Raises:
        UsageError: If that would be too long for a file.
    """
    length, most = len(os.fsencode(checkpoint.name)), _LONGEST - len(_BETTER)
    if length > most:
        raise UsageError(
            f"`checkpoint` {str(checkpoint)!r} has a name of {length} bytes, to which `{_BETTER}` is added for the "
            f"winner; give it one of at most {most}."
        )


def keep_winner(found: Comparison, folder: Path, backbone: str | Plain) -> Iterator[str]:
    """Write the winner, trained with the first seed.

    In the checkpoint's own format, if that can hold its head; and as a Lightning checkpoint for ``test``, ``predict``
    and ``export``, unless the first file is one.

    Args:
        found: What :func:`compare` returned; it has a winner.
        folder: Of this comparison.
        backbone: Plain settings that make such a backbone.

    Yields:
        What was written, a sentence each.

    Raises:
        UnwritableError: If there is no room for it.
    """
    assert found.winner is not None
    why = ""
    try:
        said = hand_back_file(
            found.source.path,
            found.source.backbone,
            found.winner.heads[0].head.cpu(),
            folder / f"{_BETTER}{Path(found.source.path).name}",
            found.data.class_names,
            found.options.checkpoint_class_names,
            found.trained_on.describe_split(),
            _selection(found.winner),
            found.options.allow_partial,
        )
    except UnwritableError:
        raise
    except UsageError as error:  # nothing that the user could have known before
        reason = error.reason if isinstance(error, UnfitHeadError) else str(error).rstrip(".")
        why = f"; {Path(found.source.path).name} cannot take it: {reason}{_instead(found)}"
    else:
        yield f"{said}, that of {_whose(found)}"
        if found.source.class_counts is not None:
            return
    path = folder / "better.ckpt"
    _save(found, found.winner, found.winner.heads[0], path, backbone)
    yield f"{path}: {_whose(found)} as a Lightning checkpoint for `lt-lightning test`, `predict` and `export`{why}"


def keep_runs(found: Comparison, folder: Path, backbone: str | Plain) -> None:
    """Write ``runs/<method>/seed_<K>.ckpt`` of every method and seed, for ``test``, ``predict`` and ``export``."""
    for row in found.methods:  # not the oracle, which has trained on images that others are chosen or judged by
        for trained in row.heads:
            path = folder / "runs" / name_in_files(row.name) / f"seed_{trained.seed}.ckpt"
            _save(found, row, trained, path, backbone)


def _instead(found: Comparison) -> str:
    """The best method whose layer the file could take, where the winner has none."""
    if found.winner is None or found.winner.linear() is not None:
        return ""
    with_bias = found.source.classifier.bias is not None
    methods = [
        row for row in found.methods if (layer := row.linear()) is not None and (with_bias or layer.bias is None)
    ]
    best = choose([row.score for row in methods])
    if best is None or not better(methods[best].score, found.rows[0].score):
        return ""
    name = methods[best].name
    given = methods[best].heads[0].point.method.given  # the name of one's own class or file alone would not be found
    return f"; of those that it can take {name} is best on the validation images: `--methods {given}` hands that back"


def _whose(found: Comparison) -> str:
    assert found.winner is not None
    seeds = f" and seed {found.winner.heads[0].seed}" if len(found.winner.heads) > 1 else ""
    return f"{found.winner.name}{seeds}"


def _selection(row: Row) -> str:
    return f"{row.selection}: {row.name} of compare"


def _save(found: Comparison, row: Row, trained: Trained, path: Path, backbone: str | Plain) -> None:
    assert row.point is not None
    plain = row.point.method.plain
    arguments: dict[str, Any] = {"backbone": backbone}
    arguments |= {key: plain[key] for key in ("head", "loss", "allow_double_balancing") if key in plain}
    save_retrained(
        path,
        found.source.path,
        found.source.backbone,
        trained.head.cpu(),
        trained.loss.cpu(),
        found.trained_on,
        trained.epochs,
        input_shape(found.data),
        arguments,
        found.source.origins,
        _selection(row),
    )
