"""What tensors must look like, and do."""

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.functional.checks import check_targets, check_width, images_and_targets, kind_of


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 3, 1), (3, 4)])
def test_another_width_is_named(shape):
    check_width(torch.zeros(4, 3), 3)
    check_width(torch.zeros(0, 3), 3)
    with pytest.raises(UsageError, match=r"`features` must have shape \(N, 3\), but got \("):
        check_width(torch.zeros(shape), 3, "features")


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (torch.zeros(1, dtype=torch.int64), r"\(1,\) and int64"),  # would be taken for every sample's
        (torch.zeros(4, 1, dtype=torch.int64), r"\(4, 1\) and int64"),
        (torch.zeros(4), r"\(4,\) and float32"),
        (torch.zeros(4, dtype=torch.int32), r"\(4,\) and int32"),
    ],
)
def test_targets_that_are_no_classes_are_named(targets, found):
    check_targets(torch.zeros(4, dtype=torch.int64), 4)
    with pytest.raises(UsageError, match=rf"\(4,\) and int64, but got {found}\."):
        check_targets(targets, 4)


def test_a_look_at_shapes_waits_for_no_device():
    check_width(torch.empty(4, 3, device="meta"), 3)
    check_targets(torch.empty(4, dtype=torch.int64, device="meta"), 4)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (torch.zeros(2, 3, dtype=torch.bfloat16), "a tensor of shape (2, 3) and type bfloat16"),
        ((torch.zeros(2),), "a tuple of Tensor (2,)"),
        (None, "nothing"),
    ],
)
def test_what_is_given_in_a_tensors_place_is_named(given, kind):
    assert kind_of(given) == kind


@pytest.mark.parametrize("pair", [(torch.zeros(2, 3), torch.arange(2)), [{"ids": torch.zeros(2)}, torch.arange(2)]])
def test_a_batch_is_a_pair_of_what_a_network_takes_and_targets(pair):
    images, targets = images_and_targets(pair, None)
    assert images is pair[0]
    assert targets is pair[1]


def test_where_nothing_is_learnt_names_and_more_may_stand_behind_images():
    images = torch.zeros(2, 3)
    for batch in ((images, ["a.png", "b.png"]), [images, torch.arange(2), torch.arange(2)]):
        assert images_and_targets(batch, None, learns=False) == (images, batch[1])
    for batch in ({"pixels": images}, [(images[0], torch.tensor(0))] * 2, images):
        with pytest.raises(UsageError, match="must give batches"):
            images_and_targets(batch, None, learns=False)


@pytest.mark.parametrize(
    ("batch", "found"),
    [
        ({"pixels": torch.zeros(2), "label": torch.arange(2)}, "a dictionary with 'pixels', 'label'"),
        ((torch.zeros(2, 3), torch.arange(2), torch.arange(2)), r"a tuple of Tensor \(2, 3\), Tensor \(2,\), Tensor"),
        ([(torch.zeros(3), torch.tensor(0))] * 2, "a list of tuple, tuple"),
        (torch.zeros(2, 3), r"a tensor of shape \(2, 3\)"),
    ],
)
def test_other_batches_are_named(batch, found):
    with pytest.raises(UsageError, match=rf"The data must give batches \(images, targets\), .* but gave {found}"):
        images_and_targets(batch, None)
    with pytest.raises(UsageError, match="`list` must give batches"):
        images_and_targets(batch, [])
