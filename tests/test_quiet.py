"""Expected remarks are silenced, others are not."""

import logging
import warnings

import pytest
from lightning.pytorch.trainer.connectors import signal_connector

from lt_lightning import cli
from lt_lightning.quiet import plain_warnings, quiet


def test_only_expected_warnings_are_ignored():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet()
        warnings.warn("Found 13 module(s) in eval mode at the start of training.", stacklevel=1)
        warnings.warn("Consider setting `persistent_workers=True` in 'predict_dataloader' to speed up", stacklevel=1)
        warnings.warn("Please use the new API settings to control TF32 behavior, such as", stacklevel=1)
        strides = "Grad strides do not match bucket view strides. This may indicate that.\ngrad.sizes() = "
        warnings.warn(f"{strides}[32, 1, 3, 3], strides() = [9, 1, 3, 1]", stacklevel=1)
        warnings.warn(f"{strides}[128, 64, 1, 1], strides() = [64, 1, 64, 64]", stacklevel=1)
        with pytest.raises(UserWarning, match="32, 16, 3, 3"):
            warnings.warn(f"{strides}[32, 16, 3, 3], strides() = [144, 1, 48, 16]", stacklevel=1)
        with pytest.raises(UserWarning, match="something else"):
            warnings.warn("something else", stacklevel=1)


def test_announcements_are_silenced():
    quiet()
    assert not logging.getLogger("lightning.fabric.utilities.seed").isEnabledFor(logging.INFO)
    assert logging.getLogger("lightning.pytorch").isEnabledFor(logging.WARNING)


def test_sigterm_is_not_announced_but_a_job_that_is_put_back_is(caplog):
    quiet()
    logger = logging.getLogger(signal_connector.__name__)
    with caplog.at_level(logging.INFO, logger.name):
        logger.info("[rank: 0] Received SIGTERM: 15")
        logger.info("Bypassing SIGTERM: 15")
        logger.info("requeing job 7...")
    assert caplog.messages == ["requeing job 7..."]


def test_warnings_are_sentences_without_a_place_in_code():
    with plain_warnings():
        assert warnings.formatwarning("Mind this.", UserWarning, "file.py", 3) == "lt-lightning: warning: Mind this.\n"
    assert "file.py" in warnings.formatwarning("Mind this.", UserWarning, "file.py", 3)


def test_every_command_shows_them_so(monkeypatch):
    shown = []
    monkeypatch.setattr(
        cli, "_imported", lambda _: lambda _: shown.append(warnings.formatwarning("Mind.", UserWarning, "file.py", 3))
    )
    for command in cli.COMMANDS:
        cli.main([command])
    assert shown == ["lt-lightning: warning: Mind.\n"] * len(cli.COMMANDS)
