"""A pipeline on the digits that stops on the way."""

import os
import signal
from pathlib import Path

import pytest
import tiny_pipeline
from lightning.pytorch import Callback
from short_runs import BACKBONE

from lt_lightning import pipeline
from lt_lightning.errors import UsageError


class Stops(Callback):
    """Interrupts once, at ``hook``, when ``epoch`` epochs have ended."""

    def __init__(self, hook: str, epoch: int = 0, by: str = "SIGINT") -> None:
        def stop(trainer, *_) -> None:
            if trainer.current_epoch == epoch and not Path(by).exists():
                Path(by).touch()
                os.kill(os.getpid(), getattr(signal, by))

        setattr(self, hook, stop)


def stops(*arguments):
    return {"class_path": f"{__name__}.Stops", "init_args": dict(zip(("hook", "epoch", "by"), arguments, strict=False))}


def stage(kind, epochs, *callbacks, **init_args):
    model = {"class_path": kind, "init_args": {"backbone": BACKBONE, **init_args}}
    return {"model": model, "trainer": {"max_epochs": epochs, "log_every_n_steps": 1, "callbacks": list(callbacks)}}


def write(here, stage1=(), lort=(), tau_norm=()):
    """A plan of three stages, with callbacks of theirs."""
    return tiny_pipeline.write(
        here,
        stage("RepresentationModule", 3, *stage1),
        lort=stage("RetrainModule", 2, *lort, loss="LORTLoss"),
        tau_norm=stage("RetrainModule", 1, *tau_norm, head="TauNormHead"),
    )


@pytest.fixture
def stopped(here):
    """The folder of a pipeline that stopped before it trained."""
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main(write(here, stage1=[stops("on_train_start")]))
    return here / "runs/tiny/version_0"
