"""Class names of files and data."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning.checkpoints.class_order import class_order, names_of_rows, unused_names
from lt_lightning.errors import UsageError


def test_the_same_order_needs_nothing():
    assert class_order(["a", "b"], ("a", "b"), Path("x")) is None
    assert class_order(["a", "a"], ["a", "a"], Path("x")) is None


@settings(max_examples=20)
@given(
    st.lists(st.text(max_size=3), unique=True, min_size=2).flatmap(
        lambda names: st.tuples(st.just(names), st.permutations(names))
    )
)
def test_a_permutation_is_undone(pair):
    theirs, ours = pair
    order = class_order(theirs, ours, Path("x"))
    assert ([theirs[row] for row in order] if order else theirs) == ours


@pytest.mark.parametrize(
    ("theirs", "ours", "sentence"),
    [
        (
            ["cat", "dog", "emu"],
            ["cat", "dog", "yak"],
            r"'x' are not the data's: 'emu' only in the checkpoint \(3 classes\), 'yak' only in the data \(3\); give "
            r"the data it was trained on, or the data's names in the order of its rows as `checkpoint_class_names`\.$",
        ),
        (["cat"], ["cat", "dog"], r"none only in the checkpoint \(1 classes\), 'dog' only in the data \(2\)"),
        (["cat", "dog"], ["0", "1"], r"'0', '1' only in the data \(2\); name the data's classes, which have numbers"),
        (["cat", "cat"], ["cat", "dog"], "the checkpoint's contain 'cat' more than once, so rows cannot be told"),
        (["cat", "dog"], ["dog", "dog"], "the data's contain 'dog' more than once"),
    ],
)
def test_other_classes_are_refused_with_both_ends_named(theirs, ours, sentence):
    with pytest.raises(UsageError, match=sentence):
        class_order(theirs, ours, Path("x"))


OURS = ["cat", "dog"]
LINE = "checkpoint some.pth: {} left aside, not the data's class names; rows taken in the data's order"


@pytest.mark.parametrize(
    ("facts", "given", "names", "unused"),
    [
        ({}, None, None, ""),
        ({"stored_names": {"classes": ["dog", "cat"]}}, None, ["dog", "cat"], ""),
        ({"stored_names": {"classes": ["dog", "cat"]}}, OURS, OURS, ""),
        ({"stored_names": {"class_to_idx": ["n1", "n2"], "classes": ["dog", "cat"]}}, None, ["dog", "cat"], ""),
        ({"stored_names": {"classes": ["dog", "cat"]}, "class_names": ["a", "b"]}, None, ["a", "b"], ""),
        ({"stored_names": {"classes": ["cat", "emu"]}}, None, None, "`classes`"),
        ({"stored_names": {"classes": ["cat"]}}, None, None, "`classes`"),
        ({"stored_names": {"classes": ["cat", "dog", "dog"]}}, None, None, "`classes`"),
        (
            {"stored_names": {"class_to_idx": ["n1", "n2"], "classes": ["0", "1"]}},
            None,
            None,
            "`class_to_idx` and `classes`",
        ),
    ],
)
def test_names_that_scripts_store_decide_only_where_they_are_the_datas(in_memory, facts, given, names, unused):
    source = in_memory({}, **facts)
    assert names_of_rows(source, OURS, given) == names
    assert unused_names(source, OURS, given) == (LINE.format(unused) if unused else "")


def test_names_that_occur_twice_put_nothing_in_order(in_memory):
    source = in_memory({}, stored_names={"classes": ["dog", "cat", "cat"]})
    assert names_of_rows(source, ["cat", "dog", "cat"]) is None
    assert names_of_rows(source, ["dog", "cat", "cat"]) == ["dog", "cat", "cat"]


class Name(str):
    """Counts how often it is looked at."""

    looked = 0

    def __eq__(self, other):
        Name.looked += 1
        return str.__eq__(self, other)

    def __hash__(self):
        Name.looked += 1
        return str.__hash__(self)


def test_thousands_of_classes_are_gone_through_a_few_times_each():
    names = [Name(number) for number in range(300)]
    class_order(names, names[::-1], Path("x"))
    assert Name.looked < 20 * len(names)  # 200 and more where each is held against all others
