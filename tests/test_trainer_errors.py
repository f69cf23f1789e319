"""Complaints of Lightning's, in one sentence."""

from importlib.util import find_spec

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from lt_lightning.errors import UsageError
from lt_lightning.trainer_errors import trainer_sentences


@pytest.mark.parametrize(
    "error",
    [
        MisconfigurationException("Two options\n   exclude each other."),
        RuntimeError("Early stopping conditioned on metric `val/al`\n which is not available."),
        RuntimeError("You set `--ntasks=2` in your SLURM bash script, but this variable is not supported."),
    ],
)
def test_a_users_mistake_is_one_sentence(error):
    with pytest.raises(UsageError) as found, trainer_sentences():
        raise error
    assert str(found.value) == " ".join(str(error).split())
    assert found.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("out of memory"),
        KeyError("a"),
        AttributeError("b"),
        ValueError("c"),
        UsageError("d."),
        ModuleNotFoundError("e"),
    ],
)
def test_everything_else_stays_what_it_is(error):
    with pytest.raises(type(error)) as found, trainer_sentences():
        raise error
    assert found.value is error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_said_what_to_type(trainer):
    with pytest.raises(UsageError, match=r"^No GPU was found; leave out `--trainer.accelerator`"), trainer_sentences():
        trainer(accelerator="gpu")


@pytest.mark.skipif(find_spec("transformer_engine") is not None, reason="nothing is missing")
def test_a_package_that_an_option_needs_is_named_in_one_sentence(trainer):
    with pytest.raises(UsageError, match=r"^Requirement .*transformer_engine"), trainer_sentences():
        trainer(precision="transformer-engine")
