"""The cosine that ends where training ends."""

from copy import deepcopy
from math import cos, pi

import pytest
import torch
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, SequentialLR

from lt_lightning.errors import UsageError
from lt_lightning.schedules import CosineLR, check_inner_lengths, leave_functions_out, set_restored_rates


def rates(length, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = CosineLR(optimizer, **options)
    schedule.set_epochs(length)
    seen = []
    for _ in range(length + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_equals_half_a_cosine():
    assert rates(10) == pytest.approx([0.4 * (1 + cos(pi * epoch / 10)) / 2 for epoch in range(11)])


def test_equals_torchs_with_t_max():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
    expected = []
    for _ in range(8):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(7) == pytest.approx(expected, abs=1e-12)


def test_end_factor_and_own_length():
    found = rates(6, end_factor=0.1)
    assert (found[0], found[3], found[-1]) == pytest.approx((0.4, 0.22, 0.04))
    assert rates(6, epochs=3)[3:] == pytest.approx([0.0] * 4)  # the user's length wins, and the end holds


def test_without_a_length_the_first_step_is_refused():
    """The rate would stay where it is, and nobody would know."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = CosineLR(optimizer)
    assert schedule.get_last_lr() == [0.4]
    optimizer.step()
    with pytest.raises(
        UsageError, match="`CosineLR` does not know how long it is: give it the number of epochs, by `epochs`"
    ):
        schedule.step()


def test_a_resumed_schedule_without_a_length_is_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    before, after = CosineLR(optimizer, epochs=4), CosineLR(optimizer)
    optimizer.step()
    before.step()
    after.load_state_dict(before.state_dict())
    with pytest.raises(UsageError, match="`CosineLR` does not know how long it is"):
        after.step()


def test_a_turn_of_a_schedule_without_a_length_is_refused_when_it_comes():
    """A step later its first rate, the whole one, would have trained an epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = SequentialLR(optimizer, [ConstantLR(optimizer), CosineLR(optimizer)], [1])
    optimizer.step()
    with pytest.raises(UsageError, match="`CosineLR` does not know how long it is"):
        schedule.step()


def test_inner_schedules_need_a_length():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    chained = ChainedScheduler([ConstantLR(optimizer), CosineLR(optimizer)])
    with pytest.raises(UsageError, match=r"`CosineLR` inside `ChainedScheduler` has no length, .* by `epochs`"):
        check_inner_lengths(SequentialLR(optimizer, [ConstantLR(optimizer), chained], [2]))
    check_inner_lengths(SequentialLR(optimizer, [ConstantLR(optimizer), CosineLR(optimizer, epochs=3)], [2]))
    check_inner_lengths(CosineLR(optimizer))  # whose length is that of the run


def test_a_group_that_comes_later_keeps_its_own_rate():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedules = [CosineLR(optimizer, end_factor=1.0, epochs=2), CosineLR(optimizer, epochs=2)]
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.3})
    optimizer.step()
    for schedule, first in zip(schedules, (0.4, 0.2), strict=True):
        schedule.step()
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([first, 0.3])


def test_state_resumes():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = CosineLR(optimizer)
    schedule.set_epochs(10)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    for length in (10, 20):  # as long as before, or extended
        other = CosineLR(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4))
        other.set_epochs(length)
        other.load_state_dict(schedule.state_dict())
        other.optimizer.step()
        other.step()
        assert other.get_last_lr() == pytest.approx([0.4 * (1 + cos(pi * 5 / length)) / 2])


def restored(before, after, make, steps, kind=float):
    """Rate of an optimiser that went on from a schedule of ``before`` epochs with one of ``after``."""
    states = None
    for epochs in (before, after):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=kind(0.4))
        schedule = make(optimizer, epochs)
        if states is None:
            for _ in range(steps):
                optimizer.step()
                schedule.step()
            states = deepcopy((optimizer.state_dict(), schedule.state_dict()))
    optimizer.load_state_dict(states[0])
    schedule.load_state_dict(states[1])
    set_restored_rates(schedule)
    return float(optimizer.param_groups[0]["lr"])


def of_length(optimizer, epochs):
    return CosineLR(optimizer, epochs=epochs)


def after_warm_up(optimizer, epochs):
    return SequentialLR(optimizer, [ConstantLR(optimizer, 0.5, 9), CosineLR(optimizer, epochs=epochs)], [2])


@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_a_restored_rate_is_that_of_the_new_length(kind):
    """The finished schedule's rate was 0, and would have trained the first epoch of the longer one."""
    assert restored(4, 8, of_length, steps=4, kind=kind) == pytest.approx(0.2)
    assert restored(8, 8, of_length, steps=3, kind=kind) == pytest.approx(0.4 * (1 + cos(pi * 3 / 8)) / 2)
    assert restored(4, 8, of_length, steps=0, kind=kind) == pytest.approx(0.4)


def test_a_class_with_rates_of_its_own_keeps_what_was_restored():
    class Halving(CosineLR):
        def get_lr(self):
            return [group["lr"] / 2 if self.last_epoch else group["lr"] for group in self.optimizer.param_groups]

    assert restored(4, 8, lambda optimizer, epochs: Halving(optimizer, epochs=epochs), steps=2) == pytest.approx(0.1)


def test_a_restored_rate_is_that_of_the_part_whose_turn_it_is():
    for steps, expected in ((1, 0.2), (2, 0.4), (6, 0.2)):
        assert restored(4, 8, after_warm_up, steps) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"epochs": 0}, "`epochs` of `CosineLR` must be at least 1, but got 0"),
        ({"epochs": -3}, "`epochs` of `CosineLR` must be at least 1, but got -3"),
        ({"end_factor": -0.1}, "`end_factor` must be at least 0, but got -0.1"),
        ({"end_factor": float("nan")}, "`end_factor` must be a finite number, but got nan"),
    ],
)
def test_a_length_or_an_end_that_makes_no_sense_is_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        rates(2, **options)


def test_an_averages_schedule_is_saved_without_its_function():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    first, again = (torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.01, anneal_epochs=4) for _ in range(2))
    state, own = first.state_dict(), first.state_dict()
    leave_functions_out({"lr_schedulers": [state], "callbacks": {"SWA": {"scheduler_state": own}, "other": 3}})
    assert not any(callable(value) for each in (state, own) for value in each.values())
    again.load_state_dict(state)
    optimizer.step()
    again.step()
    assert optimizer.param_groups[0]["lr"] < 0.1
