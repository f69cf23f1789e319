"""What a head starts from in stage 2, and whether it keeps it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from lt_lightning.devices.placement import device_of_modules
from lt_lightning.errors import UsageError
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.packages import is_ours
from lt_lightning.wording import one_line


def start_head(head: Head, loss: Loss, weight: Tensor, bias: Tensor | None) -> None:
    """Start a head from stage 1's classifier, ``(K, D)`` and ``(K,)``; a bias that the loss asks for replaces its."""
    head.init_from(weight, bias)
    start_bias(head, loss)


def start_bias(head: Head, loss: Loss) -> None:
    """Set the classifier's bias to what the loss asks for, if it does; the two have been found to go together."""
    if loss.initial_bias is not None:
        with torch.no_grad():
            cast(nn.Parameter, head.bias).fill_(loss.initial_bias)


def check_start(head: Head) -> None:
    """Refuse a head that stage 2 could not hand a classifier.

    Raises:
        UsageError: If it defines no ``init_from``.
    """
    if type(head).init_from is Head.init_from:
        raise UsageError(
            f"`model.head` {type(head).__name__} cannot start from a linear classifier: it defines no `init_from`, "
            f"which stage 2 gives the weight and bias of stage 1."
        )


@contextmanager
def check_kept(head: Head) -> Iterator[None]:
    """Refuse a head that keeps what it starts from where no checkpoint would find it.

    A head of one's own is copied before the block. Afterwards the copy is given the head's state, and must predict the
    same. Where it cannot be tried out, nothing is said.

    Args:
        head: As it was made; within the block it is given a classifier, or features.

    Raises:
        UsageError: If the state does not fit, or the copy predicts something else.
    """
    copies: list[Head] = []
    if not is_ours(type(head)):
        with suppress(Exception):
            copies = [deepcopy(head)]
    yield
    for loaded in copies:
        where = (
            f"`model.head` {type(head).__name__} keeps what it starts from where no checkpoint finds it, so that a "
            f"test of one would go wrong"
        )
        what = "make parameters and `register_buffer` in `__init__`, in their final shapes, and `copy_` into them."
        try:
            loaded.load_state_dict(head.state_dict())
        except RuntimeError as error:
            raise UsageError(f"{where} ({one_line(error).rstrip('.')}); {what}") from error
        same = True
        with suppress(Exception):
            same = torch.allclose(_predicted(head), _predicted(loaded), equal_nan=True)
        if not same:
            raise UsageError(f"{where}; {what}")


def _predicted(head: Head) -> Tensor:
    """Logits of a copy for a few features, the same for each head."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4, head.in_features, generator=generator).abs().to(device_of_modules(head))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        return deepcopy(head).eval().predict(features)
