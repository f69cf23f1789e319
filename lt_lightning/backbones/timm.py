"""Any model of the timm package as a feature extractor."""

from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from lt_lightning.backbones.base import Backbone, loads_published_weights
from lt_lightning.errors import UsageError

_OURS = ("model_name", "pretrained", "num_classes", "in_chans", "global_pool", "features_only")


class TimmBackbone(Backbone):
    """A timm image model without its classifier, its features pooled as timm pools them.

    timm is an extra, imported when this class is made; layers keep timm's names, so timm's files load without renaming.

    Args:
        name: Model as timm calls it, e.g. ``resnet50.a1_in1k``; a tag behind the dot matters to ``pretrained`` alone.
        pretrained: Whether to start from the weights that timm publishes, which it downloads, instead of at random.
        in_channels: Channels of an image.
        options: More arguments of ``timm.create_model``, such as ``img_size: 32`` of a vision transformer.

    Raises:
        UsageError: If timm is not installed, has no such model, no weights for it, or does not take an option.
    """

    def __init__(
        self, name: str, pretrained: bool = False, in_channels: int = 3, options: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise UsageError(
                '`TimmBackbone` needs timm, which is not installed; install it with `pip install "lt_lightning[timm]"`.'
            ) from error
        options = options or {}
        taken = sorted(set(options) & set(_OURS))
        if taken:
            raise UsageError(
                f"`options` may not hold {taken[0]!r}, which `TimmBackbone` sets itself, but got {options}."
            )
        if not timm.is_model(name):
            near = get_close_matches(name, timm.list_models(), n=4, cutoff=0.4)
            known = f"close to it are {', '.join(near)}" if near else "`timm.list_models()` names all"
            raise UsageError(f"`name` must be a model that timm knows, but got {name!r}; {known}.")
        try:
            fetched = pretrained and loads_published_weights()
            model: Any = timm.create_model(name, fetched, num_classes=0, in_chans=in_channels, **options)
        except (RuntimeError, TypeError, ValueError, OSError) as error:
            raise UsageError(
                f"`TimmBackbone` cannot make {name!r} with `pretrained` {str(pretrained).lower()} and `options` "
                f"{options}: {str(error).splitlines()[0].rstrip('.')}."
            ) from error
        self.model: nn.Module = model
        self.name = name
        self._img_size = options.get("img_size")
        if pretrained:
            self.published_transform = {key: tuple(model.pretrained_cfg[key]) for key in ("mean", "std")}
        # `checkpoint_path` is read after published weights; the `file` of timm's description is read in their place.
        file = options.get("checkpoint_path") or (model.pretrained_cfg.get("file") if pretrained else None)
        self.weights_file = str(file) if file else None
        # Models with a layer between pooling and classifier give that layer's width.
        self.num_features = int(getattr(model, "head_hidden_size", None) or model.num_features)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, D)``."""
        return torch.flatten(self.model(images), 1)

    def size_advice(self) -> str:
        """``data.image_size``, with the size that the network is made for as far as timm says it."""
        described = getattr(self.model, "pretrained_cfg", None) or {}
        size = self._img_size or (described.get("input_size") or ("",))[-1]
        if not described.get("fixed_input_size"):
            return f"give another `data.image_size`, such as {size}" if size else "give another `data.image_size`"
        return (
            f"give `data.image_size` {size}, which it is made for, or, unless a file has its weights, the images' size "
            f"as `backbone.options.img_size`"
        )
