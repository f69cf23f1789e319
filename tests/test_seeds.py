"""Seeds of single draws."""

from itertools import product

from lt_lightning.seeds import Stream, run_seed, seed_from


def test_neighbouring_places_have_seeds_of_their_own():
    places = list(product(range(-1, 4), range(6), range(50), range(3)))
    places += [(stream, *place) for stream in Stream for place in product(range(3), range(6), range(50), range(3))]
    seeds = {seed_from(*place) for place in places}
    assert len(seeds) == len(places)
    assert len({seed % 2**32 for seed in seeds}) == len(places)  # all that torch's generator on the CPU looks at
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_order_and_number_of_parts_count():
    assert len({seed_from(), seed_from(0), seed_from(0, 0), seed_from(0, 1), seed_from(1, 0)}) == 5


def test_the_runs_seed_is_that_of_seed_everything(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    assert run_seed() == 7
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert run_seed() == 0
