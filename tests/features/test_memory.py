"""Features that memory cannot hold are refused before they are extracted."""

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, extract, memory
from lt_lightning.features.views import Layout

LAYOUTS = [Layout(162, 1000, 64, torch.float32), Layout(1, 500, 64, torch.float32)]  # 41.6 MB


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Says how much memory machine and control group have; files that are not written are not there."""
    monkeypatch.setattr(memory, "_MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)

    def say(kilobytes=None, limit=None, used=0, pages=0):
        if kilobytes is not None:
            (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:    {kilobytes} kB\n")
        if limit is not None:
            (tmp_path / "memory.max").write_text(f"{limit}\n")
            (tmp_path / "memory.current").write_text(f"{used}\n")
            (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {pages}\n")

    return say


def test_the_tighter_limit_counts(machine):
    assert memory.available_memory() is None
    machine(1000)
    assert memory.available_memory() == 1_024_000
    machine(limit=900_000, used=500_000, pages=100_000)
    assert memory.available_memory() == 500_000
    machine(limit="max")
    assert memory.available_memory() == 1_024_000


def test_sizes_are_named(machine, monkeypatch):
    memory.check_memory(LAYOUTS)  # nobody says how much there is
    machine(41_000)
    memory.check_memory(LAYOUTS)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    sentence = (
        r"^`features.cache` is empty, so features are kept in memory, and 83.2 MB for up to 162 views of 1,000 images "
        r"× 64, 2 times, once for each process, are more than the 42.0 MB available; name a folder by `features.cache`"
    )
    with pytest.raises(UsageError, match=sentence):
        memory.check_memory(LAYOUTS)


def test_nothing_is_extracted_without_room(machine, counting, digits, options):
    machine(4)
    with pytest.raises(UsageError, match=r"8.8 kB for up to 1 view of 276 images × 8 are more than the 4.1 kB"):
        extract(counting, digits(), options=options())
    assert counting.passes == 0
    assert len(extract(counting, digits(), options=options(cache=True))) == 276
    assert isinstance(options(), ExtractionOptions)
