"""What each process of a run has, brought together; ``tests/test_ddp.py`` predicts with two of them."""

from lt_lightning.callbacks.gathering import gather


def test_one_process_needs_no_group():
    assert gather({"a": 1}, 1) == [{"a": 1}]
