"""Seeds of single draws, so that a resumed run draws what an uninterrupted one would have drawn."""

import os
from enum import IntEnum


class Stream(IntEnum):
    """First part of a seed, for what is drawn at one place of a run: two things of one seed would go together.

    What augmentation draws for a whole batch has none.
    """

    READING = 0x72656164
    MIXING = 0x6D6978
    STEP = 0x647261


def run_seed() -> int:
    """The run's seed, as ``seed_everything`` leaves it for every process; 0 without one."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def is_seeded() -> bool:
    """Whether the run has a seed."""
    return "PL_GLOBAL_SEED" in os.environ


def seed_from(*parts: int) -> int:
    """One seed from several numbers of at least -1, such as ``(run, epoch, batch, process)``; their order counts."""
    seed = 0
    for part in parts:
        seed = (seed * 1_000_003 + part + 1) % 2**63
    return seed
