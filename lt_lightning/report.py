"""``report``: the ``results.json`` of many runs in one table, mean and standard deviation over seeds.

Reads what ``fit``, ``validate``, ``test``, ``pipeline`` and ``compare`` leave, and nothing else. Standard library only,
and rich for showing: it starts at once, on a login node as well.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.markup import escape
from rich.table import Table

from lt_lightning.errors import UsageError
from lt_lightning.tables import percent, show

METRICS = ("all", "many", "medium", "few", "micro", "top5", "harmonic", "geometric", "worst", "ece")
"""Figures that are reported, in order, where runs have them."""

_SHOWN = ("all", "many", "medium", "few", "micro", "top5")
_NAMES = ("data", "preset", "method", "settings")
_PROTOCOL = ("selection", "views", "bn_mode", "test_time_averaging", "aggregation")
_FORMATS = (".csv", ".md", ".json")

_OF_THE_RUN = re.compile(r"^\s*(seed_everything|checkpoint|ckpt_path|default_root_dir|root|output|config):.*\n", re.M)
"""Lines of a ``config.yaml`` in which runs differ that are one experiment: seed and places."""


@dataclass(frozen=True)
class Run:
    """Figures of one method from one run."""

    path: Path
    names: tuple[str, str, str, str]
    """Data, preset, method and settings: what runs of one experiment have in common."""
    protocol: tuple[str, ...]
    """How figures came about, in the order selection, views, bn_mode, test-time averaging, aggregation."""
    identity: str
    """Equal in runs of which one repeats the other."""
    seed: Any
    figures: dict[str, float]


@dataclass
class Row:
    """Runs that differ in their seed alone."""

    names: tuple[str, ...]
    protocol: tuple[str, ...]
    runs: list[Run] = field(default_factory=list)

    @property
    def seeds(self) -> list[Any]:
        """Of the runs, each once."""
        return sorted({run.seed for run in self.runs}, key=str)

    def mean(self, metric: str) -> float | None:
        """Over the runs; ``None`` unless all of them have it."""
        values = [run.figures[metric] for run in self.runs if metric in run.figures]
        return mean(values) if len(values) == len(self.runs) else None

    def deviation(self, metric: str) -> float | None:
        """Sample standard deviation over the runs; ``None`` for fewer than two, or unless all of them have it."""
        values = [run.figures[metric] for run in self.runs if metric in run.figures]
        return stdev(values) if len(values) == len(self.runs) > 1 else None


def main(argv: Sequence[str]) -> None:
    """Collect, show, and write if asked to.

    Args:
        argv: ``report`` and its options, as on the command line.
    """
    parser = argparse.ArgumentParser(prog="lt-lightning report", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="Run folders, searched with all below them.")
    parser.add_argument("--output", type=Path, help="A file to write: .csv and .json (every figure), or .md.")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="Whose figures; test by default.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a file of that name.")
    options = parser.parse_args(list(argv[1:]))
    if options.output is not None:
        _check_output(options.output, options.overwrite)
    runs, notes = collect(options.folders, options.split)
    for note in notes:
        print(f"lt-lightning: note: {note}", file=sys.stderr)
    rows = group(runs)
    for table in tables(rows, options.split):
        show(table)
    if options.output is not None:
        _write(options.output, _FORMATTERS[options.output.suffix](rows, options.split))
        print(f"written to {options.output}")


# -- reading -----------------------------------------------------------------------------------------------------------


def collect(folders: Sequence[Path], split: str = "test") -> tuple[list[Run], list[str]]:
    """Read every ``results.json`` below folders.

    A pipeline's stages are taken from its own file. Of runs that repeat each other, configuration and seed, the last
    is taken.

    Args:
        folders: Folders, or files by name.
        split: ``test`` or ``val``.

    Returns:
        The runs, in the order of their paths, and sentences on what was left out.

    Raises:
        UsageError: If a folder does not exist, or nothing below them has figures of the split.
    """
    notes: list[str] = []
    found: dict[tuple[Any, ...], Run] = {}
    without, repeated = 0, 0
    pipelines: list[Path] = []
    for path in _files(folders):
        if any(folder in path.parents for folder in pipelines):
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if "stages" in record:
                pipelines.append(path.parent)
            runs = list(_runs(record, path, split))
        except (OSError, ValueError) as error:
            notes.append(f"{path} cannot be read ({' '.join(str(error).split())}) and is left out.")
        except (AttributeError, KeyError, TypeError):
            notes.append(f"{path} is no results file of this package and is left out.")
        else:
            without += not runs
            for run in runs:
                key = (run.names, run.protocol, run.identity)
                repeated += key in found
                if key not in found or _age(found[key].path) <= _age(run.path):
                    found[key] = run
    if not found:
        reason = " ".join(notes) or f"none of {without} files below has figures of the {split} images."
        raise UsageError(f"`folders` {' '.join(map(str, folders))} hold nothing to report: {reason}")
    if without:
        other = {"test": "val", "val": "test"}[split]
        notes.append(f"{without} runs without figures of the {split} images are left out; try `--split {other}`.")
    if repeated:
        notes.append(f"{repeated} runs were done again with the same configuration and seed; the last one counts.")
    return list(found.values()), notes


def _files(folders: Sequence[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.exists():
            raise UsageError(
                f"`folders` names {str(folder)!r}, which does not exist; give folders that runs have left."
            )
        paths = [folder] if folder.is_file() else list(folder.rglob("results.json"))
        if not paths:
            raise UsageError(f"`folders` names {str(folder)!r}, below which there is no results.json; give another.")
        found |= {path.resolve(): path for path in paths}
    # A pipeline's own file comes before those of its stages, which lie deeper.
    return sorted(found.values(), key=lambda path: (len(path.parts), path))


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _runs(record: Mapping[str, Any], path: Path, split: str) -> Iterator[Run]:
    """The runs in one file; none if it says nothing of the split."""
    if "rows" in record:
        yield from _compared(record, path, split)
    elif "stages" in record:
        for name, stage in record["stages"].items():
            if split in stage:
                own = _own_record(path.parent / name / "results.json")
                evaluation = {"accuracy": stage[split], **own.get("evaluation", {}).get(split, {})}
                yield _run({**record, "bn_mode": own.get("bn_mode")}, path, name, evaluation)
    elif split in record["evaluation"]:
        method = ", ".join(str(record[part]) for part in ("head", "loss"))
        yield _run(record, path, method, record["evaluation"][split])


def _own_record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # what the pipeline says of the stage is enough
        return {}
    return found if isinstance(found, dict) else {}


def _run(record: Mapping[str, Any], path: Path, method: str, evaluation: Mapping[str, Any]) -> Run:
    config, settings = _settings(path.parent / "config.yaml")
    protocol = (
        str(record["selection"]).partition(":")[0],
        "images",
        str(record.get("bn_mode") or "eval"),  # stage 1 is tested with its own statistics, which `eval` keeps
        str(evaluation.get("test_time_averaging", "none")),
        "last epoch",
    )
    figures = {**evaluation["accuracy"], "ece": evaluation.get("calibration", {}).get("ece", {}).get("all")}
    names = (_data(record), str(record["preset"]), method, settings)
    return Run(path, names, protocol, config or str(path), record["seed"], _numbers(figures))


def _compared(record: Mapping[str, Any], path: Path, split: str) -> Iterator[Run]:
    protocol = record["protocol"]
    if split != "test":
        return
    settings = _short_hash(json.dumps([record.get("grid"), record["backbone"]]))
    for name, row in record["rows"].items():
        if not row["seeds"]:  # it diverged
            continue
        how = (
            str(row.get("selection") or protocol["selection"]),
            *(str(protocol[key]) for key in ("views", "bn_mode", "test_time_averaging", "aggregation")),
        )
        names = (_data(record), "compare", name, settings)
        source = str(record["checkpoint"]["path"])
        if "best_on_test" in row:  # one figure that no mean may be taken of
            yield Run(path, names, how, source, "best", _numbers(row["best_on_test"]))
            continue
        for one in row["seeds"]:
            figures = {**one["accuracy"], "ece": one.get("ece")}
            yield Run(path, names, how, f"{source} {one['seed']}", one["seed"], _numbers(figures))


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(figures[name]) for name in METRICS if _is_number(figures.get(name))}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value == value


def _data(record: Mapping[str, Any]) -> str:
    """Data set and how long its tail is; runs on other class counts or thresholds are other experiments."""
    counts = [int(count) for count in record["class_counts"]]
    name = record["data"].get("dataset") or record["data"].get("root") or "data"
    low, high = record["group_thresholds"]
    shape = f"{sum(counts)} images, {len(counts)} classes, {max(counts)} to {min(counts)}"
    return f"{name} ({shape}; few <{low}, many >{high})"


def _settings(config: Path) -> tuple[str, str]:
    """Hashes of a configuration: of the whole, and without what is the run's own."""
    try:
        text = config.read_text(encoding="utf-8")
    except OSError:
        return "", ""
    return _short_hash(text), _short_hash(_OF_THE_RUN.sub("", text))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


# -- grouping ----------------------------------------------------------------------------------------------------------


def group(runs: Sequence[Run]) -> list[Row]:
    """Put runs together that differ in their seed alone: same data, preset, method, settings and protocol."""
    rows: dict[tuple[Any, ...], Row] = {}
    for run in runs:
        rows.setdefault((run.names, run.protocol), Row(run.names, run.protocol)).runs.append(run)
    return sorted(rows.values(), key=lambda row: (row.names[0], row.protocol))


def _sections(rows: Sequence[Row]) -> dict[tuple[str, tuple[str, ...]], list[Row]]:
    """Rows whose figures compare: of the same data, by the same protocol."""
    found: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
    for row in rows:
        found.setdefault((row.names[0], row.protocol), []).append(row)
    # What a comparison starts from has nothing to select: it heads the tables of what was selected.
    for place in [(data, how) for data, how in found if how[0] == "none"]:
        others = [other for other in found if other[0] == place[0] and other != place and other[1][1:] == place[1][1:]]
        starts = [row for row in found[place] if row.names[1] == "compare"]
        if others and len(starts) == len(found[place]):
            del found[place]
            for other in others:
                found[other] = [*starts, *found[other]]
    return found


def _labels(rows: Sequence[Row]) -> list[str]:
    """Method of each row, its preset where there are several, the settings' hash where only that tells two apart."""
    several = len({row.names[1] for row in rows}) > 1
    plain = [f"{row.names[1]}: {row.names[2]}" if several else row.names[2] for row in rows]
    return [
        f"{label} [{row.names[3]}]" if plain.count(label) > 1 else label for label, row in zip(plain, rows, strict=True)
    ]


def _of(rows: Sequence[Row]) -> str:
    """The data, and the preset if all rows are of one."""
    presets = {row.names[1] for row in rows}
    return rows[0].names[0] + (f", {presets.pop()}" if len(presets) == 1 else "")


def _columns(rows: Sequence[Row]) -> list[str]:
    return [metric for metric in _SHOWN if any(row.mean(metric) is not None for row in rows)]


def _cell(row: Row, metric: str) -> str:
    deviation = row.deviation(metric)
    return percent(row.mean(metric)) + ("" if deviation is None else f" ± {percent(deviation)}")


def _how(protocol: Sequence[str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in zip(_PROTOCOL, protocol, strict=True))


# -- writing -----------------------------------------------------------------------------------------------------------


def tables(rows: Sequence[Row], split: str) -> Iterator[Table]:
    """For the terminal: one table for each data set and protocol."""
    for (_, protocol), members in _sections(rows).items():
        table = Table(
            title=f"{split}, {_of(members)}\n{_how(protocol)}",
            title_justify="left",
            caption="accuracy in %, mean ± standard deviation over runs",
        )
        table.add_column("", overflow="fold")
        columns = _columns(members)
        for name in (*columns, "runs"):
            table.add_column(name, justify="right")
        for label, row in zip(_labels(members), members, strict=True):
            table.add_row(escape(label), *(_cell(row, name) for name in columns), str(len(row.runs)))
        yield table


def to_markdown(rows: Sequence[Row], split: str) -> str:
    """One table for each data set and protocol, under a line that names both."""
    parts = []
    for (_, protocol), members in _sections(rows).items():
        columns = _columns(members)
        lines = [
            f"**{split}, {_of(members)}**: accuracy in %, mean ± standard deviation over runs; {_how(protocol)}.",
            "",
            f"| | {' | '.join(columns)} | runs |",
            f"|---|{'---|' * len(columns)}---|",
        ]
        for label, row in zip(_labels(members), members, strict=True):
            cells = " | ".join(_cell(row, name) for name in columns)
            lines.append(f"| {label.replace('|', '¦')} | {cells} | {len(row.runs)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _plain(rows: Sequence[Row], split: str) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        plain: dict[str, Any] = {"split": split}
        plain |= zip(_NAMES, row.names, strict=True)
        plain |= zip(_PROTOCOL, row.protocol, strict=True)
        plain |= {"runs": len(row.runs), "seeds": row.seeds}
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
        writer.writerow({**row, "seeds": " ".join(map(str, row["seeds"])), "files": " ".join(row["files"])})
    return text.getvalue()


def to_json(rows: Sequence[Row], split: str) -> str:
    """The same as a list; ``null`` where there is no figure."""
    return json.dumps(_plain(rows, split), indent=1, allow_nan=False) + "\n"


_FORMATTERS = {".csv": to_csv, ".md": to_markdown, ".json": to_json}


def _check_output(path: Path, overwrite: bool) -> None:
    if path.suffix not in _FORMATS:
        raise UsageError(f"`--output` {str(path)!r} must end in {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}.")
    if path.name == "results.json":
        raise UsageError("`--output` results.json would be taken for a run's own file; give another name.")
    if path.exists() and not overwrite:
        raise UsageError(f"`--output` {str(path)!r} exists; give another name, or `--overwrite`.")


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"`--output` {str(path)!r} cannot be written ({error}); give another.") from error
