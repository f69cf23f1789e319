"""Protocol, hardware and time in words, and tables in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from reproducing.records import Record

_SELECTIONS = {
    "last epoch": "last epoch",
    "val": "settings chosen on validation images",
    "best_on_test": "best on test, as the papers do",
}


def by_protocol(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records whose figures may stand in one column, under that column's label."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(protocol_label(record), []).append(record)
    return groups


def protocol_label(record: Record) -> str:
    """What two figures must have in common to stand in one column."""
    protocol, stage1 = record["protocol"], record["stage1"]
    words = [_SELECTIONS.get(protocol["selection"], protocol["selection"])]
    if protocol["test_time_averaging"] != "none":
        words.append(f"{protocol['test_time_averaging']}-averaged")
    if stage1 is not None:
        views = protocol["views"]
        words.append("on images" if views == "images" else f"features of {views} view{'s' if views != 1 else ''}")
        words.append(f"BatchNorm in {'training' if protocol['bn_mode'] == 'train' else 'evaluation'} mode")
        if stage1["another"]:
            words.append(f"another stage 1 ({stage1.get('backbone') or stage1['name']})")
    if "data" in protocol:  # other training images than the preset's
        words.append(protocol["data"])
    if not str(protocol.get("precision", "32")).startswith("32"):
        words.append(str(protocol["precision"]))
    return ", ".join(words)


def hardware_and_time(records: Sequence[Record]) -> str:
    """What records were made on, how long that took, and with which version."""
    hardware = list(dict.fromkeys(machine(record["environment"]) for record in records))
    minutes = [record["seconds"] / 60 for record in records]
    total = f"{sum(minutes):.1f} minutes for {len(minutes)} run{'s' if len(minutes) > 1 else ''}"
    kind = "" if records[0]["stage1"] is None else ", stage 1 and features not counted"
    versions = ", ".join(dict.fromkeys(record["environment"]["lt_lightning"] for record in records))
    shared = ", ".join(dict.fromkeys(f"`{r['measured_for']}`" for r in records if "measured_for" in r))
    which = f"{sum('measured_for' in r for r in records)} measured for {shared}; " if shared else ""
    return f"{'; '.join(hardware)}; {total}{kind}; {which}version {versions}"


def machine(environment: Mapping[str, Any]) -> str:
    """Processor and threads."""
    threads = environment["threads"]
    note = f" ({environment['note']})" if "note" in environment else ""
    return f"{environment['hardware']}, {threads} thread{'s' if threads != 1 else ''}{note}"


def table_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, with the empty line that has to follow it."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]
