"""Whether a checkpoint's classes are the data's, and in which order."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lt_lightning.checkpoints.reading import Checkpoint
from lt_lightning.errors import UsageError
from lt_lightning.wording import some


def names_of_rows(source: Checkpoint, ours: Sequence[str], given: Sequence[str] | None = None) -> Sequence[str] | None:
    """Names of a checkpoint's classes in the order of its rows; ``None`` where nothing says them.

    What scripts store as ``class_to_idx`` or ``classes`` was not meant to be read here: it may name folders where the
    data have words, or words where these have numbers. It decides only where it is the data's names.

    Args:
        source: The checkpoint.
        ours: Names of the data's classes.
        given: What was typed, which goes before what the file says.
    """
    if given or source.class_names:
        return given or source.class_names
    return next((names for names in source.stored_names.values() if _are_same(names, ours)), None)


def unused_names(source: Checkpoint, ours: Sequence[str], given: Sequence[str] | None = None) -> str:
    """One line on names of classes in a file that say nothing of the order of its rows; empty if there are none."""
    if not source.stored_names or names_of_rows(source, ours, given) is not None:
        return ""
    keys = " and ".join(f"`{key}`" for key in source.stored_names)
    return f"checkpoint {source.path}: {keys} left aside, not the data's class names; rows taken in the data's order"


def _are_same(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    """Whether names are the same in any order in which they can be told apart."""
    return list(theirs) == list(ours) or (set(theirs) == set(ours) and len(theirs) == len(ours) == len(set(ours)))


def class_order(theirs: Sequence[str], ours: Sequence[str], path: Path) -> list[int] | None:
    """For each class of the data its row in a checkpoint's classifier; ``None`` where the order is the same.

    Args:
        theirs: Names of the checkpoint's classes, in the order of its rows.
        ours: Names of the data's classes.
        path: The checkpoint, for messages.

    Raises:
        UsageError: If the names differ in more than their order, or one of them occurs twice.
    """
    if list(theirs) == list(ours):
        return None
    for whose, names in (("the checkpoint's", theirs), ("the data's", ours)):
        twice = sorted(name for name, number in Counter(names).items() if number > 1)
        if twice:
            raise UsageError(
                f"`class_names` of `checkpoint` {str(path)!r} are in another order than the data's, and {whose} "
                f"contain {some(twice)} more than once, so rows cannot be told apart; give each class its own name."
            )
    rows = {name: row for row, name in enumerate(theirs)}
    known = set(ours)
    only_theirs = [name for name in theirs if name not in known]
    only_ours = [name for name in ours if name not in rows]
    if only_theirs or only_ours:
        numbered = list(ours) == [str(number) for number in range(len(ours))]
        advice = "name the data's classes, which have numbers" if numbered else "give the data it was trained on"
        raise UsageError(
            f"`class_names` of `checkpoint` {str(path)!r} are not the data's: {some(only_theirs) or 'none'} only in "
            f"the checkpoint ({len(theirs)} classes), {some(only_ours) or 'none'} only in the data ({len(ours)}); "
            f"{advice}, or the data's names in the order of its rows as `checkpoint_class_names`."
        )
    return [rows[name] for name in ours]
