"""What a file holds beside a backbone that was wanted without its classifier."""

from lt_lightning.checkpoints.matching import Match


def deeper_layers(found: Match) -> list[str]:
    """Tensors that say that the file is of a deeper network, in which the backbone matches to the last key.

    A classifier, a projection head or a decoder have names of their own, or are one layer under a name that the
    backbone has as well, such as the last of ``classifier`` in torchvision's VGG. Several layers are a deeper
    network's.

    Returns:
        Keys of the file; empty if what is left over is not of the backbone's own parts.
    """
    taken = {key for key in found.source.tensors if key.startswith(found.prefix) and key not in found.rest}
    parts = {key.removeprefix(found.prefix).split(".")[0] for key in taken}
    shared = [
        key
        for key in found.rest
        if key.startswith(found.prefix)
        and key.removeprefix(found.prefix).split(".")[0] in parts
        and not key.startswith(tuple(found.copies))
    ]
    layers = {key.rpartition(".")[0] for key in shared}
    return shared if len(layers) > 1 else []
