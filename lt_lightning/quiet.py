"""Silence for Lightning's remarks that tell a user of this package nothing, and warnings without places in code."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_EXPECTED = (
    r".*Found \d+ module\(s\) in eval mode",  # a frozen backbone is meant to be
    r".*The number of training batches \(\d+\) is smaller than the logging interval",  # epochs are logged as well
    r".*does not have many workers",  # sets in memory need none
    r"Consider setting `persistent_workers=True`",  # where workers are spawned; loaders without pass their images once
    r".*ended before the epoch ended and your dataloader is not resumable",  # the data module goes on where it stopped
    r".*treespec, LeafSpec.*deprecated",  # Lightning's own use of torch
    r"Total length of `.*` across ranks is zero",  # a source without validation images
    r".*It is recommended to use .*sync_dist=True",  # what is logged has been summed over processes already
    r".*`max_epochs` was not set",  # of no interest where nothing is fitted; `fit` itself insists on it
    r"The dirpath has changed from",  # each run has a folder of its own, and nothing but the last epoch is kept
    r"You are trying to `self.log\(\)` but `Trainer\(barebones=True\)`",  # who asked for that knows
    r".*using `DistributedSampler` with the dataloaders",  # evaluation shards without repeating an image
    r"Please use the new API settings to control TF32",  # torch 2.9, to Lightning, which asks by the old names
    # Of weights with a dimension of one, whose stride there means nothing: those for grey images, and 1×1 convolutions.
    r"Grad strides do not match bucket view strides[^[]*\[(\d+, )*1[],]",
)

_EXPECTED_IN_EVALUATION = (r"Be aware that when using `ckpt_path`, callbacks used",)  # whose states nothing asks for


def quiet(evaluates: bool = False) -> None:
    """Filter expected warnings, and Lightning's announcements of seeds, devices and loggers.

    Args:
        evaluates: Whether nothing is to be trained.
    """
    for message in _EXPECTED + (_EXPECTED_IN_EVALUATION if evaluates else ()):
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Whoever sent it knows, and a worker's end, which torch raises wherever it finds a process, would break into this.
    logging.getLogger("lightning.pytorch.trainer.connectors.signal_connector").addFilter(_is_not_of_sigterm)


def _is_not_of_sigterm(record: logging.LogRecord) -> bool:
    return "SIGTERM" not in record.getMessage()


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings as errors are shown, without a place in code that says nothing to whoever typed a command."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_: f"lt-lightning: warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before
