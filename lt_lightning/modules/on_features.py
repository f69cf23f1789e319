"""Training a stage-2 module on features that have been extracted already."""

from lt_lightning.backbones import Backbone, Identity
from lt_lightning.errors import UsageError
from lt_lightning.modules.retrain import RetrainModule


def on_features(module: RetrainModule) -> Backbone:
    """Start a stage-2 module from its checkpoint, then let it take features in the place of images.

    Its backbone becomes an :class:`Identity`. Whoever saves the module afterwards puts the real one back first:
    ``module.backbone = backbone``.

    Args:
        module: The module, changed in place.

    Returns:
        The backbone that was in it, frozen, with the checkpoint's weights.

    Raises:
        UsageError: If the module does what features cannot: move statistics of its backbone, or mirror test images.
    """
    if module.bn_mode != "eval":
        raise UsageError(
            f'`bn_mode` "{module.bn_mode}" changes the backbone while training, and features stay as they are; use '
            f'"eval" or train on images.'
        )
    if module.flip_average:
        raise UsageError("`flip_average` needs images to mirror, and features cannot be; leave it out or test images.")
    module.start_once()
    backbone = module.backbone
    module.backbone = Identity(backbone.num_features)
    module.channels_last, module.compile_backbone = False, "none"
    return backbone
