from timed_fit import MadeUpLT
from timing_stage1.loops import Bare


def test_the_bare_loop_takes_full_batches_and_an_epoch_again_after_its_end():
    loop = Bare("ResNet20", MadeUpLT(), 4000, "32-true", "eager", "cpu")
    batches = [rows.tolist() for rows in loop.batches(3)]
    assert [len(set(rows)) for rows in batches] == [4000] * 3
    assert batches[0] == batches[2]
    assert not set(batches[0]) & set(batches[1])
