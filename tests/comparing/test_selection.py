"""Which validation images count as unseen."""

import math

import pytest
import torch

from lt_lightning.comparing.outcome import TriedPoint
from lt_lightning.comparing.selection import better, choose, favoured, may_select, memorised

SAME, OTHER = {"hashes": {"train": "a"}}, {"hashes": {"train": "b"}}


@pytest.mark.parametrize(
    ("val_from", "foreign", "same", "other"),
    [
        ("source", True, True, True),
        ("unused", True, True, False),
        ("pool", False, True, False),
        ("train", False, True, False),
        (None, False, True, False),
    ],
)
def test_as_a_matter_of_record(val_from, foreign, same, other):
    here = {"val_from": val_from, **SAME}
    for record, expected in (({}, foreign), (SAME, same), (OTHER, other)):
        found = may_select(True, here, record, asserted=False)
        assert found.allowed is expected
        assert found.label == ("val" if expected else "unselected")
        assert expected or "`unseen: true`" in found.reason
        assert may_select(True, here, record, asserted=True).allowed
        assert not may_select(False, here, record, asserted=True).allowed


FILE, UNTOLD, PUBLIC = {"weights": "file", "train": "a"}, {"weights": "file", "train": None}, {"weights": "published"}
AFAR = {"weights": "file", "train": "b"}


@pytest.mark.parametrize("val_from", ["pool", "train", None])
@pytest.mark.parametrize(
    ("past", "why"),
    [
        ([], None),
        ([FILE, FILE], None),
        ([UNTOLD], "began with weights of which nothing records the training images"),
        ([FILE, UNTOLD], "began with weights of which nothing records the training images"),
        ([PUBLIC, UNTOLD], "began with weights of which nothing records the training images"),
        ([FILE, AFAR], "began with a file that records other training images than these"),
    ],
)
def test_the_whole_chain_of_files_has_to_record_these_images(val_from, past, why):
    found = may_select(True, {"val_from": val_from, **SAME}, SAME, asserted=False, past=past)
    assert found.allowed is (why is None)
    assert (why or "unseen: the checkpoint records these training images") in found.reason
    assert may_select(True, {"val_from": val_from, **SAME}, SAME, asserted=True, past=past).allowed


def test_published_weights_are_taken_not_to_have_seen_them_and_no_record_is_claimed():
    found = may_select(True, {"val_from": "train", **SAME}, SAME, asserted=False, past=[PUBLIC])
    assert found.allowed
    assert found.reason.endswith(
        "the checkpoint records these training images, and the published weights that it began with are taken not to "
        "have seen them, which nothing records"
    )


def test_images_apart_from_the_sources_training_images_are_taken_to_be_unseen_where_nothing_records_it():
    apart = r"taken to be unseen: they are apart from all training images of the source"
    for val_from in ("source", "unused"):
        here = {"val_from": val_from, **SAME}
        said = may_select(True, here, {}, asserted=False, past=[UNTOLD]).reason
        assert said.endswith(f"({val_from}) {apart}; nothing records what the checkpoint was trained on")
        said = may_select(True, here, SAME, asserted=False, past=[UNTOLD]).reason
        assert said.endswith("nothing records what the weights that the checkpoint began with were trained on")
        assert "the checkpoint records these" in may_select(True, here, SAME, asserted=False).reason
    here = {"val_from": "source", **SAME}
    for record, past in ((OTHER, []), (SAME, [AFAR])):
        said = may_select(True, here, record, asserted=False, past=past).reason
        assert said.endswith(f"{apart}, though the checkpoint records others than these")
    assert not may_select(True, {"val_from": "unused", **SAME}, SAME, asserted=False, past=[AFAR]).allowed


def test_without_hashes_nothing_is_recorded():
    assert not may_select(True, {"val_from": "train"}, {"hashes": {}}, asserted=False).allowed


def test_the_first_of_the_best_is_chosen():
    nan = float("nan")
    assert choose([nan, 0.3, 0.5, 0.5]) == 2
    assert choose([0.5, nan]) == 0
    assert choose([nan, nan]) is None
    assert choose([]) is None


def test_rounding_decides_nothing():
    assert sum([0.34 - 2**-54] * 3) / 3 > 0.34 - 2**-54  # as a plain mean over seeds would
    assert TriedPoint({}, [0.34 - 2**-54] * 3).mean == 0.34 - 2**-54
    assert choose([0.66 - 2**-53, 0.66]) == 0
    assert not better(0.66, 0.66 - 2**-53)
    assert better(0.66 + 1 / (8142 * 3), 0.66)
    assert not better(math.nan, 0.1)


def test_memorised_images_are_noticed():
    assert memorised(0.4, 0.8, 10) is None
    assert memorised(math.nan, 0.8, 10) is None
    assert memorised(0.753, 0.753, 10) == "learnt"


def test_a_network_at_chance_has_memorised_nothing():
    assert memorised(0.21, 0.2, 5) == "chance"
    assert memorised(0.21, 0.2, 6) == "learnt"
    assert memorised(1.0, 1.0, 1) is None  # as of whatever predicts that class alone


def test_a_split_of_ones_own_is_called_so():
    assert "validation images (a split of one's own); give" in may_select(True, {}, {}, asserted=False).reason
    assert "validation images (a split of one's own) unseen" in may_select(True, SAME, SAME, asserted=False).reason
    assert '(`data.val_from` "train"); give' in may_select(True, {"val_from": "train"}, {}, asserted=False).reason


def drawn(seed, known=None):
    """Images of each class that stage 1 is right about, and how many there are: of validation, then of test images.

    Few or many classes of few or many images, each of a recall of its own. ``known`` is the recall on validation
    images; by default that on test images.
    """
    generator = torch.Generator().manual_seed(seed)
    classes = int(torch.randint(2, 200, (), generator=generator))
    recall = torch.rand(classes, generator=generator) ** (0.2 + 3 * torch.rand((), generator=generator))
    largest = [int(torch.randint(2, 60, (), generator=generator)) for _ in range(2)]
    found = []
    for high, share in zip(largest, (recall if known is None else torch.full_like(recall, known), recall), strict=True):
        number = torch.randint(0, high, (classes,), generator=generator).float()
        found += [torch.binomial(number, share, generator=generator), number]
    return found


def test_unseen_images_are_no_reason_whatever_is_drawn():
    said = [seed for seed in range(1000) if favoured(*drawn(seed)) is not None]
    assert len(said) <= 5  # 1.35 in 1,000 lie that far out where a difference is normal


@pytest.mark.parametrize("number", [1, 2, 5])
def test_few_images_that_are_all_right_by_chance_are_no_reason(number):
    full = torch.full((3,), float(number))
    assert (favoured(full, full, full * 0, full) is None) == (number < 5)
    assert favoured(full, full, full, full) is None


def test_memorised_validation_images_are_said_with_both_figures():
    classes = torch.full((10,), 50.0)
    said = favoured(classes * 0.98, classes, classes * 0.4, classes)
    assert "clearly better on validation images (98.0 %) than on test images (40.0 %)" in said
    assert "trained on the validation images or chosen by them" in said
    assert said.endswith("give validation images that it has not seen.")
    assert favoured(classes * 0.4, classes, classes * 0.98, classes) is None
    many = torch.full((1000,), 5000.0)
    assert favoured(many * 0.515, many, many * 0.5, many) is None  # sure, but of no matter
    assert favoured(many * 0.525, many, many * 0.5, many) is not None


def test_classes_of_one_kind_alone_are_left_out():
    number, right = torch.tensor([50.0, 50.0, 0.0]), torch.tensor([10.0, 50.0, 0.0])
    of_test = torch.tensor([50.0, 0.0, 50.0])
    assert favoured(right, number, torch.tensor([10.0, 0.0, 0.0]), of_test) is None
    assert favoured(right, number, right * 0, torch.tensor([0.0, 0.0, 9.0])) is None


def test_memorised_images_are_noticed_whatever_the_network():
    """Most networks that know 98 % of the validation images, with 20 classes and more to judge by."""
    given = [drawn(seed, known=0.98) for seed in range(300)]
    clear = [
        parts
        for parts in given
        if len(parts[0]) >= 20 and parts[2].sum() / parts[3].sum() < 0.7 and min(parts[1].mean(), parts[3].mean()) > 3
    ]
    assert len(clear) > 50
    assert all(favoured(*parts) is not None for parts in clear)
