from lt_lightning.checkpoints.wording import some


def test_long_lists_are_cut():
    assert some(["a", "b"]) == "'a', 'b'"
    assert some(["a", "b", "c"], most=1) == "'a' and 2 more"
    assert some([]) == ""
