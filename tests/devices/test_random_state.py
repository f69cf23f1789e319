"""Streams of random numbers that go on by themselves."""

from contextlib import suppress

import pytest
import torch

from lt_lightning.devices.random_state import RandomState, seeded

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


def drawn(state, device, number):
    with state.drawn_from():
        return torch.rand(number).tolist() + torch.rand(number, device=device).tolist()


@pytest.mark.parametrize("device", DEVICES)
def test_a_stream_goes_on_whoever_draws_in_between(device):
    state, other = (RandomState(seed, torch.device(device)) for seed in (3, 4))
    first, others, second = drawn(state, device, 2), drawn(other, device, 2), drawn(state, device, 2)
    torch.rand(5, device=device)
    assert len({*first, *others, *second, *drawn(state, device, 2)}) == 16
    again = RandomState(3, torch.device(device))
    assert [drawn(again, device, 2), drawn(again, device, 2)] == [first, second]


@pytest.mark.parametrize("device", DEVICES)
def test_others_draw_what_they_would_have_drawn_even_after_an_error(device):
    state, found = RandomState(3, torch.device(device)), []
    for tried in (False, True):
        torch.manual_seed(0)
        if tried:
            with suppress(KeyError), state.drawn_from():
                torch.rand(3, device=device)
                raise KeyError
        found.append([torch.rand(2).tolist(), torch.rand(2, device=device).tolist()])
    assert found[0] == found[1]


@pytest.mark.parametrize("device", DEVICES)
def test_torchs_own_numbers_follow_from_a_seed_meanwhile(device):
    def numbers():
        return [torch.rand(2).tolist(), torch.rand(2, device=device).tolist()]

    found = []
    torch.manual_seed(5)
    for seed in (3, 4, 3):
        with seeded(seed, torch.device(device)):
            found.append(numbers())
    after = numbers()
    assert found[0] == found[2] != found[1]
    torch.manual_seed(3)
    assert found[0] == numbers()
    torch.manual_seed(5)
    assert after == numbers()


def test_it_begins_as_torch_does_with_that_seed():
    torch.manual_seed(3)
    assert drawn(RandomState(3, torch.device("cpu")), "cpu", 1) == torch.rand(2).tolist()
