"""The files that ``--output`` names."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lt_lightning.drafts import new_file
from lt_lightning.report.options import as_typed
from lt_lightning.report.rendering import to_markdown
from lt_lightning.report.rows import Row, differing_options
from lt_lightning.report.runs import METRICS


def _plain(rows: Sequence[Row], split: str) -> list[dict[str, Any]]:
    found = []
    for row, options in zip(rows, differing_options(rows), strict=True):
        plain: dict[str, Any] = {"split": split, **row.names._asdict(), "options": options, **row.protocol._asdict()}
        plain |= {"runs": len(row.runs), "checkpoints": len(row.by_checkpoint), "seeds": row.seeds}
        for metric in METRICS:
            plain |= {metric: row.mean(metric), f"{metric}_sd": row.deviation(metric)}
        found.append({**plain, "files": sorted({str(run.path) for run in row.runs})})
    return found


def to_csv(rows: Sequence[Row], split: str) -> str:
    """A line per row, protocol beside every figure; fractions, empty where there is none."""
    plain = _plain(rows, split)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(plain[0]), lineterminator="\n")
    writer.writeheader()
    for row in plain:
        lists = {"seeds": " ".join(map(str, row["seeds"])), "files": " ".join(row["files"])}
        writer.writerow({**row, "options": as_typed(row["options"]), **lists})
    return text.getvalue()


def to_json(rows: Sequence[Row], split: str) -> str:
    """The same as a list; ``null`` where there is no figure."""
    return json.dumps(_plain(rows, split), indent=1, allow_nan=False) + "\n"


FORMATS = {".csv": to_csv, ".md": to_markdown, ".json": to_json}
"""What makes the text of a file, by the end of its name."""


def write(path: Path, rows: Sequence[Row], split: str, overwrite: bool = False) -> None:
    """Write rows in the format that the file's name ends in, whole or not at all.

    Raises:
        UsageError: If it cannot be written, or there is a file by now that may not be replaced.
    """
    with new_file(path, "--output", overwrite) as draft:
        # A folder's name need not be UTF-8; its bytes are written as they are.
        draft.write_text(FORMATS[path.suffix](rows, split), encoding="utf-8", errors="surrogateescape")
