"""What one file says."""

import pytest


@pytest.fixture
def probe(run):
    """The record of a ``probe``, which has no seed."""

    def make(value, network="1", train="t", test="e"):
        file = {"path": "last.ckpt", "sha256": 64 * network}
        data = {"dataset": "made", "hashes": {"train": train, "test": test}}
        return run(value, seed=None, preset="probe", l2=0.1, stage1=file, data=data, seconds={"fit": 1.0})

    return make


@pytest.mark.parametrize("features", ["{cache: /scratch, device: cpu}", "{cache: '', device: cuda}"])
def test_a_probe_that_is_done_again_counts_once(write, probe, rows_of, features):
    write("a", probe(0.4), "{l2: auto, features: {cache: '', device: cuda}}")
    write("b", probe(0.4), f"{{l2: auto, features: {features}}}")
    (row,), notes = rows_of(".")
    assert (len(row.runs), row.deviation("all")) == (1, None)
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


@pytest.mark.parametrize("other", [{"network": "2"}, {"train": "u"}, {"test": "f"}], ids=str)
def test_a_probe_of_another_network_or_other_images_repeats_none(write, probe, rows_of, other):
    write("a", probe(0.4), "l2: auto\n")
    write("b", probe(0.4, **other), "l2: auto\n")
    rows, notes = rows_of(".")
    assert (sum(len(row.runs) for row in rows), notes) == (2, [])


@pytest.mark.parametrize("said", [{"content": "scans of 2019"}, {"hashes": {"train": 1, "test": 3}}, {"hashes": "abc"}])
def test_data_of_ones_own_may_record_anything(write, run, rows_of, said):
    write("a", run(0.4, data={"dataset": "made", **said}), "seed_everything: 0\n")
    (row,), notes = rows_of(".")
    assert (row.mean("all"), notes) == (0.4, [])
