"""What came of a call."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What came of running a table or a figure.

    Attributes:
        finished: Runs that are new.
        there: Runs that had been finished before.
        unfinished: What the budget has left, in words.
        impossible: Columns that could not be run, with the reason.
    """

    finished: int = 0
    there: int = 0
    unfinished: list[str] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)
