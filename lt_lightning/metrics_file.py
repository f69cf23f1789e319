"""``metrics.csv``, which a run that ends while it is written does not lose."""

import csv
import os
from contextlib import suppress
from pathlib import Path
from typing import cast

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from lt_lightning.drafts import draft_of, naming_in_errors


class MetricsFile(CSVLogger):
    """Lightning's logger, but for how the file is written anew: whole or not at all.

    A quantity that is logged for the first time, as at the first validation, gives the file another header. Lightning
    empties it and writes all rows again, and who is killed meanwhile, or has no room, has lost them.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """What writes the file, made when it is first asked for; the file of an earlier run stays until then."""
        if self._experiment is None:
            self._experiment = _WholeFile(self.log_dir)
        return cast(ExperimentWriter, self._experiment)


class _WholeFile(ExperimentWriter):
    """Appends rows of known columns; with others the file is written beside the earlier one and takes its place."""

    def save(self) -> None:
        """Write what was logged since the last time.

        Raises:
            OSError: With the path, if it cannot be written. Rows that were written before are there, and the others
                are kept.
        """
        path = Path(self.metrics_file_path)
        with naming_in_errors(path):
            self._save(path)

    def _save(self, path: Path) -> None:
        columns = sorted({*self.metrics_keys}.union(*self.metrics))
        if columns == self.metrics_keys:
            self._append(path)
            return
        with draft_of(path) as draft:
            with draft.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows([*self._rows(path), *self.metrics])
            draft.replace(path)
        self.metrics_keys, self.metrics = columns, []

    def _append(self, path: Path) -> None:
        size = path.stat().st_size if path.is_file() else 0
        try:
            super().save()
        except OSError:
            with suppress(OSError):
                os.truncate(path, size)  # a part of a row, behind which others would be written
            raise

    def _rows(self, path: Path) -> list[dict[str, str]]:
        """What this run has written so far."""
        if not self.metrics_keys or not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _check_log_dir_exists(self) -> None:
        """Leave an earlier run's file, which Lightning removes, until there is one to take its place."""
