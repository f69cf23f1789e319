"""What a Trainer complains of, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lt_lightning.errors import UsageError

_NO_METRIC = "Early stopping conditioned on metric"
"""What ``EarlyStopping`` says, in a RuntimeError, of a figure that nobody logs."""


@contextmanager
def trainer_sentences() -> Iterator[None]:
    """Turn what Lightning finds wrong with options of a Trainer or a callback into one sentence.

    Raises:
        UsageError: In its place.
    """
    try:
        yield
    except MisconfigurationException as error:
        raise UsageError(" ".join(str(error).split())) from error
    except RuntimeError as error:
        if not str(error).startswith(_NO_METRIC):
            raise
        raise UsageError(" ".join(str(error).split())) from error
