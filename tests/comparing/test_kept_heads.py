"""How many heads are kept at the same time, and that too many are refused before any image passes."""

import pytest
import torch

from lt_lightning.comparing import extraction, kept_heads
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)

HEAD = 10 * 8 * 4
METHODS, GRID, SEEDS = "lort,linear,tau_norm", {"lr": [0.01, 0.1], "tau": [0.5, 1.0]}, (0, 1)


@pytest.fixture
def room(monkeypatch):
    """Says how many bytes of memory there are."""
    return lambda free: monkeypatch.setattr(kept_heads, "available_memory", lambda: free)


@pytest.fixture
def mapped(tmp_path):
    """Features on disk, which take no memory."""
    return ExtractionOptions(progress=False, device="cpu", channels_last=False, cache=str(tmp_path / "cache"))


@pytest.mark.parametrize(("kept", "most"), [(100, 18), (4, 10), (2, 10)])
def test_heads_chosen_wait_beside_those_that_are_tried(run, room, mapped, monkeypatch, kept, most):
    """Two methods have two settings and two seeds, the third two settings that nothing trains.

    Those of a seed train at the same time, and take twice their weights in addition.
    """
    monkeypatch.setattr(kept_heads, "KEPT_BYTES", kept * HEAD)
    room(most * HEAD)
    run(METHODS, GRID, seeds=SEEDS, features=mapped)
    room(most * HEAD - 1)
    with pytest.raises(UsageError, match=f"up to {most * HEAD / 1000:.1f} kB of memory as they train, more than"):
        run(METHODS, GRID, seeds=SEEDS, features=mapped)


def test_a_gpu_has_those_that_are_tried(run, room, mapped, monkeypatch):
    def check(setup, features):
        setup.device = torch.device("cuda", 0)
        room(5 * HEAD)  # both seeds of two methods, and one of the third
        kept_heads.check_heads(setup, features)
        room(5 * HEAD - 1)
        kept_heads.check_heads(setup, features)

    monkeypatch.setattr(extraction, "check_heads", check)
    with pytest.raises(UsageError, match=r"up to 1.6 kB of memory as they train, more than the 1.6 kB available"):
        run(METHODS, GRID, seeds=SEEDS, features=mapped)


def test_features_in_memory_count_as_well(run, room, monkeypatch, capsys):
    room(10 * HEAD)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    sentence = (
        r"^`methods` lort, linear, tau_norm with `seeds` \[0, 1\] have heads that take up to 5.8 kB of memory as "
        r"they train beside \d.* kB of features, 2 times, once for each process, more than the 3.2 kB available; "
        r"take fewer `methods`, `seeds` or values of `grid`, or name a folder by `features.cache`, from which features "
        r"are mapped.$"
    )
    with pytest.raises(UsageError, match=sentence):
        run(METHODS, GRID, seeds=SEEDS)
    assert "features:" not in capsys.readouterr().out
    room(None)  # nobody says how much there is
    run("tau_norm")
