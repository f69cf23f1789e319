"""What of a checkpoint fits, in words."""

from collections.abc import Sequence

from lt_lightning.checkpoints.classifier import Classifier
from lt_lightning.checkpoints.matching import Match
from lt_lightning.checkpoints.reading import memory_of
from lt_lightning.wording import some


def report(found: Match, classifier: Classifier | None, extra: Sequence[str] = (), given_to: str = "") -> str:
    """One line: file and form, tensors matched, what did not, and the classifier.

    Args:
        found: A backbone held against the file.
        classifier: The classifier found in what was left over; ``None`` where the backbone alone was wanted.
        extra: Tensors that neither has a use for, as :func:`unexpected` lists them.
        given_to: Name of the head that gets the classifier; empty if none does.
    """
    if found.missing or found.misshapen or extra:
        matched = explain_mismatch(found, extra)
    else:
        matched = f"{len(found.tensors)} of {found.total} backbone tensors matched under the prefix '{found.prefix}'"
    if found.copies:
        matched += f" (copies under {some(found.copies)} left aside)"
    line = f"checkpoint {found.source.path} ({found.source.form}): {matched}"
    if classifier is not None:
        rows, columns = classifier.weight.shape
        bias = "with" if classifier.bias is not None else "no"
        line += f"; classifier '{classifier.name}' ({rows} classes × {columns} features, {bias} bias)"
        line += f", {classifier.note}" if classifier.note else ""
        line += f" given to {given_to}" if given_to else ""
    used = {memory_of(found.rest[key]) for key in (classifier.keys if classifier else ())}  # under all their names
    aside = [
        key
        for key, tensor in found.rest.items()
        if key not in extra and not key.startswith(tuple(found.copies)) and memory_of(tensor) not in used
    ]
    return line + (f"; left aside: {some(aside)}" if aside else "")


def explain_mismatch(found: Match, extra: Sequence[str]) -> str:
    """What does not fit, in a few words."""
    parts = [f"{len(found.tensors)} of {found.total} backbone tensors match"]
    for words, keys in (("missing", found.missing), ("of another shape", found.misshapen), ("unexpected", extra)):
        if keys:
            parts.append(f"{len(keys)} {words}: {some(keys, most=2)}")
    return "; ".join(parts)
