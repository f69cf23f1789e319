"""What several test files need."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Lightning calls jsonargparse by names that it deprecates; nothing here can change that, and warnings are errors.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
# Before torch is imported, here and in other processes: tensors this small cost more on two threads than on one, sums
# are the same to the bit everywhere, and processes that wait for each other do not take each other's cores.
os.environ["OMP_NUM_THREADS"] = "1"

from hypothesis import settings

from lt_lightning.main import main

pytest_plugins = ("made_data", "short_runs", "interrupted_pipeline")

# How long an example takes is the machine's affair. Where a red test stops others' work the examples are always the
# same; elsewhere each run looks at new ones.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


# Functions that tests run in processes of their own are forked from one that has imported this: once, for all of them.
multiprocessing.set_forkserver_preload(["hypothesis", "lt_lightning.comparing.command", "pytest", "sklearn.datasets"])


def pytest_configure() -> None:
    """Let Ctrl-C reach tests that a shell has started in the background, where it is ignored from the start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """A Trainer that was interrupted leaves Ctrl-C ignored, for tests that come later too."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """An optional folder of real data beside the checkout; a public clone has none, and tests that read it skip."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no folder of shared data beside the checkout")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, where relative output goes."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def stage1(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., list[str]]) -> Path:
    """The checkpoint of a short stage 1 on the digits."""
    folder = tmp_path_factory.mktemp("stage1")
    options = ("--trainer.max_epochs=2", f"--trainer.default_root_dir={folder}")
    main(tiny("fit", "RepresentationModule", *options))
    (checkpoint,) = folder.rglob("last.ckpt")
    return checkpoint
