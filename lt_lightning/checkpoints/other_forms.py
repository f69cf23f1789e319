"""Last layers that a file does not hold as rows of weights, and how to save them so."""

import re
from collections.abc import Mapping

from torch import Tensor

# What a weight is computed from: by torch's parametrizations, and by its older normalisations and pruning.
_COMPUTED = re.compile(r"\.?(parametrizations\.weight\.original1?|weight_v|weight_orig)$")
_REMOVED_BY = {
    "weight_v": "`torch.nn.utils.remove_weight_norm(layer)`",
    "weight_orig": "`torch.nn.utils.remove_spectral_norm(layer)`, or `torch.nn.utils.prune.remove(layer, 'weight')`",
}
_REMOVED_OTHERWISE = "`torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')`"


def other_form(rest: Mapping[str, Tensor], num_features: int, num_classes: int) -> str | None:
    """A classifier in another form than rows of weights, one for each class.

    Args:
        rest: Tensors that the backbone left over.
        num_features: That the classifier takes.
        num_classes: That it gives.

    Returns:
        Its name, its form and what to do, as the end of a sentence; ``None`` if there is none.
    """
    rows = (num_classes, num_features)
    for key, tensor in rest.items():
        shape = tuple(tensor.shape)
        computed = _COMPUTED.search(key)
        if computed and shape == rows:
            removed = _REMOVED_BY.get(computed[1], _REMOVED_OTHERWISE)
            return (
                f"{key[: computed.start()]!r} whose weight is computed from {key!r}; end that before saving, by "
                f"{removed}, or give the module to `lt_lightning.retrain`"
            )
        if key.endswith("weight") and shape[:2] == rows and set(shape[2:]) == {1}:
            return (
                f"{key!r} that is a convolution of one pixel; if it gets the mean of all pixels, put an `nn.Linear` "
                f"with `weight.flatten(1)` in its place, and save that"
            )
    return None
