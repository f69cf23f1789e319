"""Where a job that SLURM puts back into its queue keeps what it goes on from."""

import multiprocessing
import os
from pathlib import Path
from subprocess import call

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from lt_lightning.checkpoints.opening import open_safely
from lt_lightning.errors import UsageError
from lt_lightning.records import require_state
from lt_lightning.same_run import RUN


def folder_of_job(parent: Path, run: str) -> Path | None:
    """The folder of one of this job's runs, the same each time that it starts; ``None`` outside a job.

    Under SLURM a Trainer begins ``fit`` and ``test`` with whatever an interrupted run has saved in its root folder, be
    it another one. By default all jobs would have the same root folder, the current one.

    Args:
        parent: Of the job's runs.
        run: By which the job's runs are told apart.
    """
    return parent / _name() / run if SLURMEnvironment.detect() else None


def _name() -> str:
    return f"slurm_{os.environ.get('SLURM_JOB_ID', 'job')}"


def saved_in(folder: Path) -> list[Path]:
    """What Trainers with this root folder have saved at the end of their job's time, the latest last."""
    return sorted(folder.glob("hpc_ckpt_*.ckpt"), key=lambda path: (len(path.name), path.name))


def saved_by_this_job(trainer: Trainer, given: str) -> bool:
    """Whether a job that SLURM has put back finds what it saved itself, with which it is to go on.

    Args:
        trainer: That is to train.
        given: Value of ``--ckpt_path``, which a script may set to its latest checkpoint; a newer file is preferred.
    """
    folder = Path(str(trainer.default_root_dir))
    own = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0 or folder.parent.name == _name()
    since = Path(given).stat().st_mtime if Path(given).is_file() else 0.0
    newer = any(path.stat().st_mtime > since for path in saved_in(folder))
    return SLURMEnvironment.detect() and own and newer


def has_begun_before(trainer: Trainer) -> bool:
    """Whether a job that SLURM has put back is to train here, so that what it finds in its folder may be its own."""
    put_back = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
    return SLURMEnvironment.detect() and (put_back or bool(saved_in(Path(str(trainer.default_root_dir)))))


def require_own(trainer: Trainer, run: str) -> None:
    """Refuse to go on with what another run has saved, where Lightning goes on with whatever it finds.

    Args:
        trainer: That is to train from what a job has saved in its root folder, if there is anything.
        run: What is to be trained, by :func:`digest_of`.

    Raises:
        UsageError: If the file is of another run, or holds no state of training.
    """
    if not SLURMEnvironment.detect() or not (found := saved_in(Path(str(trainer.default_root_dir)))):
        return
    path, contents = str(found[-1]), open_safely(found[-1])
    require_state(path, contents)
    if contents.get(RUN) != run:
        raise UsageError(
            f"{path!r}, saved as a job's time was over, is of a run with other settings, seed, data and length of "
            f"training included; give each run of a job a `--trainer.default_root_dir` of its own, or remove the file "
            f"if it is not needed."
        )


@rank_zero_only
def put_back(*_: object) -> None:
    """Have SLURM put this job back into its queue; a handler of signals, where there is nothing to save."""
    if multiprocessing.parent_process() is not None:  # a loader's worker, which the handler came to with all else
        return
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = os.environ["SLURM_JOB_ID"] if array is None else f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        status: int | OSError = call(["scontrol", "requeue", job])
    except OSError as error:
        status = error
    if status:
        rank_zero_warn(f"`scontrol requeue {job}` has failed with {status}, so the job is not put back into its queue.")


def run_in(path: Path) -> object:
    """The digest of the run that has saved a file; ``None`` where the file does not say."""
    try:
        return open_safely(path).get(RUN)
    except UsageError:  # half a file
        return None
