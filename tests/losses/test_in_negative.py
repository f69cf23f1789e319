import inspect
from collections.abc import Callable

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.losses import LGLINRLoss

COUNTS = [500, 30, 4]


def test_reference_numbers(assert_golden: Callable[[str], None]) -> None:
    assert_golden("LGLINRLoss")


def test_no_weights_and_no_reduction() -> None:
    assert not {"weight", "reduction"} & set(inspect.signature(LGLINRLoss).parameters)
    with pytest.raises(UsageError, match="`LGLINRLoss` does not go with class weights"):
        LGLINRLoss(COUNTS).set_weight([1.0, 1.0, 2.0])


def test_a_class_counts_alike_however_many_samples_it_has() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    targets = torch.tensor([0, 1, 2, 2])
    loss = LGLINRLoss(COUNTS)
    more_of_0 = loss(logits[[0, 0, 0, 1, 2, 3]], targets[[0, 0, 0, 1, 2, 3]])
    torch.testing.assert_close(more_of_0, loss(logits, targets))


def test_gather_on_one_process_changes_nothing() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 2, 0])
    assert torch.equal(LGLINRLoss(COUNTS, gather=True)(logits, targets), LGLINRLoss(COUNTS)(logits, targets))


def test_a_negative_beta_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`beta` must be at least 0, but got -1\.0"):
        LGLINRLoss(COUNTS, beta=-1.0)
