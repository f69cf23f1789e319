"""Which heads, losses and samplers do not go together; each refusal is one sentence that names both parts."""

from lt_lightning.errors import UsageError
from lt_lightning.heads import Head
from lt_lightning.losses import Loss


def check_head_and_loss(head: Head, loss: Loss, allow_double_balancing: bool) -> None:
    """Refuse two corrections for imbalance, and a scaled margin loss on logits that are no plain cosines.

    Args:
        head: What gives the logits.
        loss: What is taken of them.
        allow_double_balancing: Whether both may correct for imbalance, as some published mixtures do.

    Raises:
        UsageError: If they do not go together.
    """
    names = f"`model.head` {type(head).__name__} and `model.loss` {type(loss).__name__}"
    if head.rebalances and loss.rebalances and not allow_double_balancing:
        raise UsageError(
            f"{names} would both correct for class imbalance; choose one, or set `model.allow_double_balancing` to "
            f"true."
        )
    if loss.logit_scale > 1 and not head.normalized:
        raise UsageError(
            f"{names} do not go together: the loss multiplies by its scale {loss.logit_scale:g}, which needs cosine "
            f"logits that nothing has scaled before; use CosineHead with scale 1, or set the loss's scale to 1."
        )


def check_sampler(data: object, head: Head, loss: Loss, allow_double_balancing: bool) -> None:
    """Refuse a loss or head that corrects for imbalance on batches that are balanced already.

    Args:
        data: The data module, or anything with a ``rebalances`` flag.
        head: What gives the logits.
        loss: What is taken of them.
        allow_double_balancing: Whether more than one part may correct for imbalance.

    Raises:
        UsageError: If they do not go together.
    """
    if allow_double_balancing or not getattr(data, "rebalances", False):
        return
    for part in (loss, head):
        if part.rebalances:
            raise UsageError(
                f"`data.sampler` and `{type(part).__name__}` would both correct for class imbalance; choose one, or "
                f"set `model.allow_double_balancing` to true."
            )
