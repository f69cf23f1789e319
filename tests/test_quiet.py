"""Expected remarks are silenced, others are not."""

import logging
import warnings

import pytest

from lt_lightning.quiet import quiet


def test_only_expected_warnings_are_ignored():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet()
        warnings.warn("Found 13 module(s) in eval mode at the start of training.", stacklevel=1)
        with pytest.raises(UserWarning, match="something else"):
            warnings.warn("something else", stacklevel=1)


def test_announcements_are_silenced():
    quiet()
    assert not logging.getLogger("lightning.fabric.utilities.seed").isEnabledFor(logging.INFO)
    assert logging.getLogger("lightning.pytorch").isEnabledFor(logging.WARNING)
