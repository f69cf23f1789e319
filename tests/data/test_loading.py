"""A loader of whole batches."""

import multiprocessing
import subprocess
import sys
from multiprocessing import forkserver

import pytest
import torch

from lt_lightning.data.loading import LateLoader, as_is, spare_imports


class Watched(torch.utils.data.Sampler):
    def __init__(self):
        self.started = False

    def __iter__(self):
        self.started = True
        yield [1, 2]


def test_nothing_is_drawn_before_the_first_batch_is_asked_for():
    batches = Watched()
    loader = LateLoader(torch.arange(4), batch_sampler=batches, collate_fn=as_is)
    found = iter(loader)
    assert not batches.started
    assert next(found) == [1, 2]
    assert batches.started


def test_a_batch_stays_what_it_is():
    batch = object()
    assert as_is(batch) is batch


IN_A_NEW_PROCESS = "import os, sys; os._exit(40 + ('torchvision.transforms.v2' in sys.modules))"
WITH_WORKERS = f"""
import multiprocessing, sys
multiprocessing.set_start_method(sys.argv[1])
from lt_lightning.data import DigitsLT
if __name__ == "__main__":
    data = DigitsLT(num_workers=1)
    data.setup("fit")
    data.train_dataloader()
    process = multiprocessing.Process(target=exec, args=({IN_A_NEW_PROCESS!r},))
    process.start()
    process.join()
    print("found", process.exitcode - 40)
"""


@pytest.mark.parametrize(("method", "imported"), [("forkserver", 1), ("spawn", 0)])
def test_what_workers_need_is_imported_once_where_they_come_from_a_process_that_can(method, imported):
    command = [sys.executable, "-c", WITH_WORKERS, method]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.stdout.endswith(f"found {imported}\n"), found.stderr


def test_what_somebody_has_chosen_to_be_imported_stays(monkeypatch):
    chosen = ["__main__", "json"]
    monkeypatch.setattr(forkserver._forkserver, "_preload_modules", chosen)
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: "forkserver")
    spare_imports()
    assert forkserver._forkserver._preload_modules is chosen


def test_looking_at_how_processes_start_leaves_the_choice_open():
    script = (
        "import multiprocessing\nfrom lt_lightning.data.loading import spare_imports\nspare_imports()\n"
        "assert multiprocessing.get_start_method(allow_none=True) is None"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
