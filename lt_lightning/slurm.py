"""Where a job that SLURM puts back into its queue keeps what it goes on from."""

import os
from pathlib import Path

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer


def folder_of_job(parent: Path) -> Path | None:
    """The folder of this job alone, the same each time that it starts; ``None`` outside a job.

    Under SLURM a Trainer looks into its root folder for what an interrupted run has saved, and begins ``fit`` and
    ``test`` with it, whosever it is. The current folder, which is that otherwise, is one for all jobs.

    Args:
        parent: Of the job's runs.
    """
    if not SLURMEnvironment.detect():
        return None
    return parent / f"slurm_{os.environ.get('SLURM_JOB_ID', 'job')}"


def never_requeue(trainer: Trainer) -> None:
    """Have a job end when its time is over, as one that would begin anew each time that it is put back."""
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment):
        environment.auto_requeue = False
