"""Run folders and results files."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from lt_lightning.errors import UsageError
from lt_lightning.results import (
    check_unused,
    check_writable,
    claim_folder,
    config_and_hash,
    environment,
    give_back_folder,
    job,
    provenance,
    sha256_of,
    write_json,
)


def test_folders_of_earlier_runs_are_kept(tmp_path):
    first = claim_folder(tmp_path / "runs")
    (first / "results.json").write_text("{}")
    second = claim_folder(tmp_path / "runs")
    assert (first.name, second.name) == ("version_0", "version_1")
    assert (first / "results.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("left", "refused"), [("checkpoints/last.ckpt", True), ("results.json", True), ("config.yaml", False)]
)
@pytest.mark.parametrize(("trains", "advice"), [(True, "out, or go on with that run by `--ckpt_path`"), (False, "out")])
def test_a_folder_with_weights_or_results_is_in_use(tmp_path, left, refused, trains, advice):
    check_unused(tmp_path / "new", trains)
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).touch()
    sentence = f"holds the '{left}' of an earlier run, .*; leave the logger's `version` {advice}\\.$"
    with pytest.raises(UsageError, match=sentence) if refused else nullcontext():
        check_unused(tmp_path, trains)


def test_jobs_that_start_together_get_different_folders(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: claim_folder(tmp_path), range(40)))
    assert len(set(folders)) == 40


def test_only_the_first_process_makes_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert not claim_folder(tmp_path).exists()


@pytest.mark.parametrize("link", [True, False], ids=["a link that leads nowhere", "a file"])
def test_a_place_that_takes_no_folder_is_one_sentence(tmp_path, link):
    if link:
        (tmp_path / "runs").symlink_to(tmp_path / "scratch that this machine has not")
    else:
        (tmp_path / "runs").touch()
    with pytest.raises(UsageError, match=r"'.*runs.version_0' cannot be made \(.*\); name another place by `output`"):
        claim_folder(tmp_path / "runs")


def test_a_folder_is_claimed_while_others_give_theirs_back(tmp_path):
    def claim_and_give_back(_):
        give_back_folder(claim_folder(tmp_path / "a" / "b"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claim_and_give_back, range(1000)))
    assert not list(tmp_path.rglob("version_*"))


@pytest.mark.parametrize(("left", "stays"), [("hparams.yaml", False), ("metrics.csv", True), ("checkpoints", True)])
def test_a_folder_goes_if_its_run_left_no_more_than_its_configuration(tmp_path, left, stays):
    folder = claim_folder(tmp_path / "runs")
    (folder / "config.yaml").touch()
    (folder / left).touch()
    give_back_folder(folder)
    assert folder.exists() == stays


def test_earlier_runs_stay_where_a_folder_goes(tmp_path):
    first, second = (claim_folder(tmp_path / "runs") for _ in range(2))
    give_back_folder(second)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [first.name]


def test_json_has_null_for_what_is_not_a_number(tmp_path):
    write_json(tmp_path / "new" / "results.json", {"few": float("nan"), "rows": [1.5, float("inf")], "deep": {1: None}})
    assert json.loads((tmp_path / "new" / "results.json").read_text()) == {
        "few": None,
        "rows": [1.5, None],
        "deep": {"1": None},
    }


def test_a_list_of_plain_values_takes_one_line(tmp_path):
    """Else a comparison of 8142 classes has millions of lines."""
    plain = {"numbers": [1, 0.1, 5e-324, -0.0, float("nan")], "names": ['"', "é\n"], "none": [], "nothing": {}}
    path = tmp_path / "results.json"
    write_json(path, {"deep": [plain, [[1, 2], (3,)]], "flag": True})
    assert path.read_text().splitlines() == [
        "{",
        ' "deep": [',
        "  {",
        '   "numbers": [1, 0.1, 5e-324, -0.0, null],',
        r"""   "names": ["\"", "\u00e9\n"],""",
        '   "none": [],',
        '   "nothing": {}',
        "  },",
        "  [",
        "   [1, 2],",
        "   [3]",
        "  ]",
        " ],",
        ' "flag": true',
        "}",
    ]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"kept": True})
    with pytest.raises(TypeError):
        write_json(path, {"unwritable": object()})
    assert json.loads(path.read_text()) == {"kept": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


def test_environment_names_versions_and_hardware():
    found = environment()
    assert found["lt_lightning"]
    assert found["torch"]
    assert found["hardware"]
    assert found["processes"] == 1


def test_hardware_is_what_computes(monkeypatch):
    """Asking a GPU for its name would start CUDA in a run on the processor."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {torch.device(device).index}")
    assert environment(torch.device("cuda", 1))["hardware"] == "GPU 1"
    assert environment("cuda")["hardware"] == "GPU None"  # the current one, as torch takes it
    assert "GPU" not in environment()["hardware"]
    assert environment(torch.device("cpu")) == environment()


def test_a_drive_that_is_missing_is_no_endless_search(monkeypatch):
    """As of a path on Windows, of which not even the first folder is there."""
    for question in ("exists", "is_dir"):
        monkeypatch.setattr(Path, question, lambda path: False)
    with pytest.raises(UsageError, match=r"^`output` '/runs/better' cannot be written: / is no folder that takes new"):
        check_writable(Path("/runs/better"))


def test_a_job_says_where_it_ran(monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "712")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    found = job()
    assert (found["slurm_job_id"], found["slurm_array_task_id"]) == ("712", "3")
    assert "slurm_array_job_id" not in found
    assert found["host"]


def test_a_record_says_what_made_it(monkeypatch):
    monkeypatch.setattr("sys.argv", ["lt-lightning", "fit", "--model.loss=a b"])
    before = datetime.now(timezone.utc)
    found = provenance()
    written = datetime.fromisoformat(found.pop("written"))
    assert timedelta(milliseconds=-1) <= written - before < timedelta(minutes=1)
    assert written.utcoffset() == timedelta(0)
    assert found == {"environment": environment(), "command": "lt-lightning fit '--model.loss=a b'", "job": job()}


def test_a_configuration_goes_by_its_hash_where_it_has_been_written(tmp_path):
    path = tmp_path / "config.yaml"
    assert config_and_hash(path) == {"config": str(path), "config_sha256": None}
    path.write_text("a: 1\n")
    assert config_and_hash(path) == {"config": str(path), "config_sha256": sha256_of(path)}


def test_a_hash_follows_the_file(tmp_path):
    path = tmp_path / "weights"
    found = []
    for content in (b"a", b"a", b"bc"):
        path.write_bytes(content)
        found.append(sha256_of(path))
    assert found == [hashlib.sha256(content).hexdigest() for content in (b"a", b"a", b"bc")]
