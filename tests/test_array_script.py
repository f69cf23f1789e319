"""What ``slurm.sh`` asks of SLURM and of the command, with stand-ins for both, and what the real command does of it."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from short_runs import TINY

from lt_lightning import cli

CLUSTER = Path(__file__).resolve().parents[1] / "configs" / "cluster"
SCRIPT = CLUSTER / "slurm.sh"

# Refuses what a real one does not know, or would not do without.
SRUN = """#!/usr/bin/env bash
[[ $1 == --kill-on-bad-exit=1 && $2 == --cpus-per-task=* ]] || exit 3
echo "srun ${*:1:2}" >>asked
shift 2
exec "$@"
"""

# Leaves what the command would, and fails after that where it is told to.
COMMAND = """#!/usr/bin/env bash
echo "$* threads=${OMP_NUM_THREADS:-}" >>asked
for word in "$@"; do
    case $1,$word in
    fit,--trainer.default_root_dir=*) mkdir -p "${word#*=}/version_0" && touch "${word#*=}/version_0/last.ckpt" ;;
    pipeline,--output=*) mkdir -p "${word#*=}/version_0" && touch "${word#*=}/version_0/unfinished.json" ;;
    esac
done
[[ -z ${FAILS:-} ]]
"""
JOB = {"SLURM_JOB_ID": "7", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_PER_TASK": "8"}


@pytest.fixture
def script(here):
    """Runs the script with some options and variables; gives its status, what it says and what it asks for."""
    (here / "bin").mkdir()
    for name, text in {"srun": SRUN, "lt-lightning": COMMAND}.items():
        (here / "bin" / name).write_text(text)
        (here / "bin" / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "OMP_"))}
    kept["PATH"] = f"{here / 'bin'}{os.pathsep}{kept['PATH']}"

    def run(*options, **variables):
        (here / "asked").unlink(missing_ok=True)
        environment = kept | {"NAME": "n"} | variables
        done = subprocess.run(["bash", SCRIPT, *options], env=environment, capture_output=True, text=True, check=False)
        asked = (here / "asked").read_text().splitlines() if (here / "asked").exists() else []
        return done.returncode, done.stdout + done.stderr, asked

    return run


def test_a_job_has_each_command_done_by_its_tasks(script):
    status, said, asked = script("--data.root=data", **JOB, SLURM_ARRAY_TASK_ID="1", SLURM_ARRAY_TASK_COUNT="3")
    assert (status, said) == (0, "")
    folder = "runs/n/cifar100_lt/stage1/ce/seed_1"
    words = f"-c cifar100_lt/stage1/ce --seed_everything=1 --trainer.default_root_dir={folder} --data.root=data"
    devices = "--trainer.num_nodes=2 --trainer.devices=4 threads=8"
    assert asked == [
        "srun --kill-on-bad-exit=1 --cpus-per-task=8",
        f"fit {words} {devices}",
        "srun --kill-on-bad-exit=1 --cpus-per-task=8",
        f"test {words} --ckpt_path={folder}/version_0/last.ckpt {devices}",
    ]


def test_without_slurm_threads_are_the_users(script):
    assert script(OMP_NUM_THREADS="3")[2][0].endswith("threads=3")
    assert script(NAME="other")[2][0].endswith("threads=")


def test_each_task_sees_all_gpus_of_its_node_and_the_array_has_the_runs_of_the_defaults(script):
    options = dict(
        line.split()[1].split("=")
        for line in SCRIPT.read_text().splitlines()
        if line.startswith("#SBATCH --") and "=" in line.split()[1]
    )
    assert options["--gpus-per-node"] == options["--ntasks-per-node"]
    assert not options.keys() & {"--gpus-per-task", "--gpus"}
    last = options["--array"].removeprefix("0-")
    assert script(SLURM_ARRAY_TASK_ID=last, SLURM_ARRAY_TASK_COUNT=str(int(last) + 1))[0] == 0
    status, said, _ = script(SLURM_ARRAY_TASK_ID=str(int(last) + 1))
    assert status == 2
    assert f"has nothing to do: 1 presets × 3 seeds are tasks 0 to {last}; give `--array=0-{last}`." in said


@pytest.mark.parametrize("task", ["0", "1", "3"])
def test_an_array_that_would_leave_runs_out_says_so(script, task):
    """Also one of the last task alone."""
    variables = {"PRESETS": "a b", "SEEDS": "0 1", "SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "1"}
    status, said, asked = script(**variables)
    assert (status, asked) == (2, [])
    few = "2 presets × 2 seeds are tasks 0 to 3, but the array has only 1 of them"
    assert said == f"slurm.sh: error: {few}; give `--array=0-3`, or SUBSET=1 if the others are to be left out.\n"
    assert script(**variables, NAME="subset", SUBSET="1")[0] == 0
    assert script(**variables | {"SLURM_ARRAY_TASK_COUNT": "4"})[0] == 0
    (folder,) = Path("runs/n").rglob("done")
    folder.unlink()
    status, said, asked = script(**variables)  # once more, alone
    assert (status, said) == (0, f"{few}; the others in runs/n are left as they are\n")
    assert [line.split()[0] for line in asked] == ["fit", "test"]


@pytest.mark.parametrize(
    ("variables", "named"), [({"PRESETS": "a b a", "SEEDS": "0 1"}, "a"), ({"SEEDS": "1 0 1"}, "seed 1")]
)
def test_what_is_named_twice_is_one_sentence(script, variables, named):
    """Both tasks would run at once in one folder."""
    said = f"`PRESETS` or `SEEDS` names {named} twice, and both runs would share a folder; remove one."
    assert script(**variables) == (2, f"slurm.sh: error: {said}\n", [])


def test_a_method_with_nothing_to_train_is_tested(script):
    status, _, asked = script("--model.checkpoint=stage1.ckpt", COMMAND="test", PRESETS="cifar100_lt/tau_norm")
    assert status == 0
    assert [line.split()[0] for line in asked] == ["test"]
    assert "--ckpt_path" not in asked[0]


def test_a_pipeline_goes_on_where_it_was(script, here):
    folder = "runs/n/quickstart/seed_0"
    status, _, asked = script("--data.root=data", COMMAND="pipeline", PRESETS="quickstart", FAILS="1")
    assert status == 1
    assert asked == [f"pipeline -c quickstart --seed_everything=0 --output={folder} --data.root=data threads="]
    status, _, asked = script("--data.root=data", COMMAND="pipeline", PRESETS="quickstart")
    assert status == 0
    assert asked == [f"pipeline --resume={folder}/version_0 --data.root=data threads="]
    assert (here / folder / "done").is_file()


def test_a_pipeline_that_has_finished_is_not_trained_again(script, here):
    folder = Path("runs/n/quickstart/seed_0")
    (here / folder / "version_0/stage1").mkdir(parents=True)
    (here / folder / "version_0/stage1/results.json").touch()  # of a stage, from which nothing goes on
    _, _, asked = script(COMMAND="pipeline", PRESETS="quickstart", FAILS="1")
    assert asked[0].startswith("pipeline -c quickstart ")
    (here / folder / "version_0/unfinished.json").rename(here / folder / "version_0/results.json")
    status, _, asked = script(COMMAND="pipeline", PRESETS="quickstart")
    assert (status, asked) == (0, [f"pipeline --resume={folder}/version_0 threads="])
    assert (here / folder / "done").is_file()


def test_a_command_that_the_script_does_not_know_is_one_sentence(script):
    assert script(COMMAND="compare")[:2] == (
        2,
        "slurm.sh: error: `COMMAND` is 'compare', but must be fit, test or pipeline.\n",
    )


def test_files_have_folders_below_the_name(script, here):
    """Not ``runs/n/../mine.yaml``, which every name would share."""
    assert script(PRESETS="../mine.yaml", SEEDS="0")[0] == 0
    assert script(PRESETS="/of/others/mine.yml", SEEDS="0")[0] == 0
    assert sorted(str(path.parent.relative_to(here)) for path in here.rglob("done")) == [
        "runs/n/mine/seed_0",
        "runs/n/of/others/mine/seed_0",
    ]
    status, said, _ = script(PRESETS="mine.yaml ../mine.yaml", SEEDS="0")
    assert status == 2
    assert "`PRESETS` 'mine.yaml' and '../mine.yaml' would share the folder mine; rename one of them." in said


# -- the command itself ------------------------------------------------------------------------------------------------

# In place of `lt-lightning`: the test's own process does the command, while the script waits.
HAND_OVER = """#!/usr/bin/env bash
printf '%s\\0' "$@" >asked.part
mv asked.part asked
until [[ -f done ]]; do sleep 0.05; done
rm done
"""


@pytest.fixture
def array_task(here, monkeypatch):
    """Runs task 3 of an array of two presets and two seeds with some options; gives what the script says."""
    (here / "bin").mkdir()
    command = here / "bin/lt-lightning"
    command.write_text(HAND_OVER)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (here / "mine.yaml").write_text(yaml.safe_dump({"model": "RepresentationModule", "trainer": {"max_epochs": 2}}))
    settings = {"PRESETS": "other mine.yaml", "SEEDS": "0 5", "NAME": "array", "SLURM_ARRAY_TASK_ID": "3"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)

    def run(*options):
        script = ["bash", str(SCRIPT), *TINY, *options]
        with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
            try:
                while started.poll() is None:
                    if (here / "asked").exists():
                        words = (here / "asked").read_text().split("\0")[:-1]
                        (here / "asked").unlink()
                        cli.main(words)
                        (here / "done").touch()
                    time.sleep(0.02)
            finally:
                started.kill()
            return started.returncode, started.stdout.read()

    return run


def test_the_array_script_trains_tests_and_goes_on(array_task, here):
    assert array_task("--trainer.max_epochs=1") == (0, "")
    folder = here / "runs/array/mine/seed_5"
    records = [json.loads(path.read_text()) for path in sorted(folder.rglob("results.json"))]
    assert [(record["seed"], record["epochs"], list(record["evaluation"])) for record in records] == [
        (5, 1, ["val"]),
        (5, 1, ["test"]),
    ]
    assert array_task() == (0, "runs/array/mine/seed_5 is done\n")
    (folder / "done").unlink()  # as if its time had been over after the first epoch
    assert array_task("--trainer.max_epochs=2") == (0, "")
    epochs = {json.loads(path.read_text())["epochs"] for path in folder.rglob("results.json")}
    assert epochs == {1, 2}


@pytest.mark.parametrize("script", sorted(CLUSTER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sound(script):
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
