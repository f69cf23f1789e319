"""The command ``report``: figures of many runs in one table.

Reads what ``fit``, ``validate``, ``test``, ``pipeline`` and ``compare`` leave, and nothing else. Standard library only,
and rich for showing: it starts at once, on a login node as well.
"""

from lt_lightning.report.collecting import collect
from lt_lightning.report.command import main
from lt_lightning.report.files import to_csv, to_json
from lt_lightning.report.rendering import in_words, labels, tables, to_markdown
from lt_lightning.report.rows import Row, group, sections
from lt_lightning.report.runs import METRICS, Detail, Names, Protocol, Run

__all__ = [
    "METRICS",
    "Detail",
    "Names",
    "Protocol",
    "Row",
    "Run",
    "collect",
    "group",
    "in_words",
    "labels",
    "main",
    "sections",
    "tables",
    "to_csv",
    "to_json",
    "to_markdown",
]
