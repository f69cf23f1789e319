"""How a run's checkpoints are written: whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lt_lightning.drafts import draft_of


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a run's checkpoints beside the earlier ones, then gives them their names in one step.

    Lightning writes to the system's folder for temporary files and moves from there. From another file system that is a
    copy over the earlier file, and who is killed meanwhile has neither; and the file can be read by its owner alone.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint; elsewhere than on a file system as Lightning does.

        Args:
            checkpoint: What it holds.
            path: File, or address.
            storage_options: For addresses.

        Raises:
            OSError: If it cannot be written; the file of that name, if there is one, is then as it was.
        """
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with draft_of(Path(path)) as draft:
            try:
                with draft.open("wb") as file:  # of a path torch would write the name into the file
                    torch.save(checkpoint, file)
            except (OSError, RuntimeError) as error:  # torch hides the first behind its own
                refused = error if isinstance(error, OSError) else error.__context__
                if not isinstance(refused, OSError):
                    raise
                raise OSError(refused.errno, refused.strerror, str(path)) from error
            draft.replace(path)
