"""The README's first table: `lt-lightning pipeline -c quickstart` with several seeds, one thread each.

    python benchmarks/quickstart.py

Every seed is a process of its own on the CPU, as typed, in a folder that goes again. Figures are of the test images, at
every stage's last epoch; ± is the sample standard deviation over seeds.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from measuring import run_python

from lt_lightning.results import write_json

COMMAND = ("pipeline", "-c", "quickstart", "--trainer.accelerator", "cpu")
GROUPS = ("all", "many", "medium", "few")
LABELS = {
    "stage1": "stage 1, cross entropy",
    "lort": "LORT",
    "tau_norm": "τ-norm",
    "lws": "LWS",
    "max_norm": "MaxNorm",
    "logit_adjustment": "post-hoc logit adjustment",
}
"""What the README calls each stage."""


def run(seed: int, more: list[str]) -> dict[str, Any]:
    """The ``results.json`` of the pipeline with a seed.

    Args:
        seed: Of everything.
        more: Further options of the command.

    Raises:
        RuntimeError: If it fails, with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = [*COMMAND, *more, "--seed_everything", str(seed), "--output", folder]
        done = run_python(["-m", "lt_lightning", *options], OMP_NUM_THREADS="1")
        if done.returncode:
            raise RuntimeError(f"seed {seed} failed: {done.stderr}")
        (path,) = Path(folder).glob("version_*/results.json")
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


def rows(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each stage the accuracies of every run, their means and sample standard deviations, by group, from 0 to 1."""
    found = {}
    for stage in runs[0]["stages"]:
        tests = [run["stages"][stage]["test"] for run in runs]
        values = {group: [test[group] for test in tests] for group in GROUPS}
        found[stage] = {
            "mean": {group: mean(each) for group, each in values.items()},
            "standard_deviation": {group: stdev(each) for group, each in values.items()},
            "runs": values,
        }
    return found


def table(record: dict[str, Any]) -> str:
    """The rows in Markdown, in per cent."""
    sizes, (low, high) = record["group_sizes"], record["group_thresholds"]
    seeds = ", ".join(map(str, record["seeds"]))
    heads = [
        f"test accuracy in %, mean ± standard deviation of seeds {seeds}",
        f"all ({sum(sizes.values())} classes)",
        f"many ({sizes['many']}, >{high} images)",
        f"medium ({sizes['medium']})",
        f"few ({sizes['few']}, <{low} images)",
    ]
    lines = [heads, ["---"] * len(heads)]
    for stage, row in record["rows"].items():
        spreads = (f"{100 * row['mean'][group]:.1f} ± {100 * row['standard_deviation'][group]:.1f}" for group in GROUPS)
        lines.append([LABELS[stage], *spreads])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(argv: list[str] | None = None) -> None:
    """Run each seed, write the record down, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="two or more")
    parser.add_argument("--over", default="", help="a YAML file of changes to the preset")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/quickstart.json"))
    arguments = parser.parse_args(argv)
    if len(arguments.seeds) < 2:
        parser.error(f"--seeds has {arguments.seeds[0]} alone; one run has no standard deviation")
    more = ["-c", str(Path(arguments.over).resolve())] if arguments.over else []
    runs = [run(seed, more) for seed in arguments.seeds]
    record = {
        "environment": runs[0]["environment"],
        "command": " ".join(("lt-lightning", *COMMAND, *more)),
        "protocol": {"selection": runs[0]["selection"], "test_time_averaging": "none", "precision": "32-true"},
        "data": [run["data"] for run in runs],
        "group_thresholds": runs[0]["group_thresholds"],
        "group_sizes": runs[0]["stages"]["stage1"]["group_sizes"],
        "seeds": arguments.seeds,
        "rows": rows(runs),
    }
    write_json(arguments.output, record)
    print(table(record))
    print(f"\n{record['environment']}\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
