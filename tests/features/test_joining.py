"""Two processes give what one gives."""

import contextlib
import multiprocessing
import os
import socket
from datetime import timedelta

import pytest
import torch
from torch import distributed as dist

from lt_lightning.backbones import SmallCNN
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, extract
from lt_lightning.features.joining import joined_processes, merge_
from lt_lightning.processes import on_first, wait_for_all
from tests.two_processes import join

ASKED = (("train", 1), ("train", 3), ("train", "all"), ("test", 1))


def in_a_process(rank, folder, port):
    """Extracts as one of two processes, and leaves what it has found and said."""
    path = folder / f"said-{rank}.txt"
    with path.open("w") as said, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        join(rank, folder)
        backbone, data = SmallCNN(8), DigitsLT()
        backbone.load_state_dict(torch.load(folder / "weights.pt"))
        found = {}
        for cache in ("", str(folder / "cache")):
            options = ExtractionOptions(cache=cache, dtype="bfloat16", device="cpu", progress=False)
            for split, views in ASKED:
                found[cache != "", split, views] = extract(backbone, data, split, views, options=options).values.clone()
        torch.save(found, folder / f"found-{rank}.pt")

        odd = torch.tensor([[-0.0, float("nan"), 1.5]]) if rank else torch.zeros(1, 3)
        merge_(odd)
        assert odd.signbit()[0, 0]
        assert odd[0, 1].isnan()
        assert odd[0, 2] == 1.5
        assert on_first(lambda: rank + 5) == 5
        for kind in (UsageError, ValueError):

            def fail(kind=kind):
                raise kind("on purpose")

            with pytest.raises((UsageError, ValueError), match=r"^on purpose$") as stopped:
                on_first(fail)
            assert stopped.type is (UsageError if rank else kind)
        dist.barrier()
        dist.destroy_process_group()
        outlive_the_other(rank, port)


def outlive_the_other(rank, port):
    """Joins as ``torchrun`` has it; the second process leaves without a word, which the first is not to wait for."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), **where}
    with joined_processes():
        group = dist.distributed_c10d._get_default_group()
        assert group._get_backend(torch.device("cpu")).options._timeout >= timedelta(days=1)
        wait_for_all()
        if rank:
            os._exit(0)
        with pytest.raises(RuntimeError, match=r"closed by peer|reset by peer"):
            wait_for_all()


@pytest.mark.slow
def test_two_processes_give_the_features_of_one(tmp_path):
    backbone, data = SmallCNN(8), DigitsLT()
    torch.save(backbone.state_dict(), tmp_path / "weights.pt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forkserver = multiprocessing.get_context("forkserver")
    running = [forkserver.Process(target=in_a_process, args=(rank, tmp_path, port), daemon=True) for rank in range(2)]
    for process in running:
        process.start()
    options = ExtractionOptions(dtype="bfloat16", device="cpu", progress=False)
    alone = {asked: extract(backbone, data, *asked, options=options).values for asked in ASKED}
    for process in running:
        process.join(timeout=300)
    outputs = [(tmp_path / f"said-{rank}.txt").read_text() for rank in range(2)]
    assert [process.exitcode for process in running] == [0, 0], outputs
    assert outputs[0].count("features of") == 8  # one process speaks
    assert "features of" not in outputs[1]
    for rank in range(2):
        found = torch.load(tmp_path / f"found-{rank}.pt", weights_only=True)
        assert len(found) == 8
        for (_, *asked), values in found.items():
            assert torch.equal(values, alone[tuple(asked)])


def test_a_single_process_needs_no_group():
    assert on_first(lambda: 3) == 3
    values = torch.ones(1, 2)
    merge_(values)
    wait_for_all()
    assert values.tolist() == [[1, 1]]

    def fail():
        raise UsageError("on purpose")

    with pytest.raises(UsageError, match="on purpose"):
        on_first(fail)


def test_one_process_joins_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_processes():
        assert not torch.distributed.is_initialized()
