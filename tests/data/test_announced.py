"""What data of one's own say of their classes is asked before it is relied on."""

import numpy as np
import pytest
import torch

from lt_lightning.data import DigitsLT
from lt_lightning.data.announced import check_announced
from lt_lightning.errors import UsageError


def announcing(counts, names):
    class Mine(DigitsLT):
        class_counts = counts
        class_names = names

    return Mine()


def test_a_list_or_a_tuple_with_a_name_for_each_will_do():
    check_announced(DigitsLT())
    check_announced(announcing([3, 0], ["a", "b"]))  # `inspect` shows the second one
    check_announced(announcing((3, 2), ("a", "b")))


@pytest.mark.parametrize(
    ("counts", "names", "sentence"),
    [
        ([3, 2], ["a"], "`class_names` of `Mine` must hold one name for each class, but has 1 for 2 `class_counts`."),
        ([], [], r"`class_counts` of `Mine` must hold a count for each class, but is \[\]."),
        (np.array([3, 2]), ["a", "b"], r"`class_counts` of `Mine` must be a list, but is a ndarray; .* `.tolist\(\)`."),
        (torch.tensor([3, 2]), ["a", "b"], r"`class_counts` of `Mine` must be a list, but is a Tensor; end it with"),
        (None, ["a", "b"], "`class_counts` of `Mine` must be a list, but is a NoneType.$"),
        (lambda data: [3, 2], ["a", "b"], "`class_counts` of `Mine` is a method; put `@property` before it."),
        ([3, 2], lambda data: ["a", "b"], "`class_names` of `Mine` is a method; put `@property` before it."),
    ],
)
def test_anything_else_is_refused(counts, names, sentence):
    with pytest.raises(UsageError, match=f"^{sentence}"):
        check_announced(announcing(counts, names))
    with pytest.raises(UsageError, match=f"^{sentence}"):
        announcing(counts, names).split("test")


def test_data_begin_with_their_base():
    class Unbegun(DigitsLT):
        def __init__(self) -> None:
            self.imbalance_ratio = 1.0

    sentence = (
        r"^`data` Unbegun must begin its `__init__` with `super\(\).__init__\(\*\*options\)`, that of its base class"
    )
    with pytest.raises(UsageError, match=sentence):
        check_announced(Unbegun())
    with pytest.raises(UsageError, match=sentence):
        Unbegun().split("train")
