"""What a Trainer complains of, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lt_lightning.errors import UsageError
from lt_lightning.wording import one_line

_NO_METRIC = "Early stopping conditioned on metric"
"""What ``EarlyStopping`` says, in a RuntimeError, of a figure that nobody logs."""

_NO_GPU = "No supported gpu backend found"
"""What Lightning says of ``accelerator`` gpu where there is none."""

_NO_CUDA = "`CUDAAccelerator` can not run on your system"
"""What Lightning says of ``accelerator`` cuda there."""

_NO_RATE = "When using the learning rate finder"
"""What ``LearningRateFinder`` says, in an AttributeError, of a model without a learning rate of its own."""

_NTASKS = "You set `--ntasks="
"""What Lightning says, in a RuntimeError, within a SLURM job of tasks that nobody has laid out on nodes."""


@contextmanager
def trainer_sentences() -> Iterator[None]:
    """Turn what Lightning finds wrong with options of a Trainer or a callback into one sentence.

    Raises:
        UsageError: In its place.
    """
    try:
        yield
    except MisconfigurationException as error:
        if str(error).startswith((_NO_GPU, _NO_CUDA)):
            raise UsageError("No GPU was found; leave out `--trainer.accelerator`, or give `cpu`.") from error
        raise _one(error) from error
    except RuntimeError as error:
        if not str(error).startswith((_NO_METRIC, _NTASKS)):
            raise
        raise _one(error) from error
    except AttributeError as error:
        if not str(error).startswith(_NO_RATE):
            raise
        raise UsageError(
            "`LearningRateFinder` sets the `lr` of a model, and here it is one of the optimizer; leave the callback "
            "out and give `--model.optimizer` with its `--model.optimizer.lr`."
        ) from error
    except (ValueError, ModuleNotFoundError) as error:  # the latter of a package that an option needs
        if isinstance(error, UsageError) or not _is_said_by_lightning(error):
            raise
        raise _one(error) from error


def _one(error: Exception) -> UsageError:
    return UsageError(one_line(error))


def _is_said_by_lightning(error: Exception) -> bool:
    """Whether code of Lightning's own has raised it, which is how it refuses options."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_globals.get("__name__", "").startswith("lightning.")
