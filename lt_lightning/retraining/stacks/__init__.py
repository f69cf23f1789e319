"""The parameters of many heads side by side, with what moves them."""

from lt_lightning.heads import Head
from lt_lightning.retraining.stacks.affine import AffineStack
from lt_lightning.retraining.stacks.base import HeadStack
from lt_lightning.retraining.stacks.cosine import CosineStack
from lt_lightning.retraining.stacks.disalign import DisAlignStack
from lt_lightning.retraining.stacks.lws import LWSStack

_KINDS: tuple[type[HeadStack], ...] = (AffineStack, CosineStack, DisAlignStack, LWSStack)


def stack_for(head: Head) -> type[HeadStack] | None:
    """The stack that takes a head, and others of its shape; ``None`` for one that trains alone.

    Only classes known here count, not classes derived from them, which may compute something else.
    """
    return next((kind for kind in _KINDS if type(head) in kind.takes), None)


__all__ = ["HeadStack", "stack_for"]
