"""Any torchvision classifier as a feature extractor."""

from typing import Any, Literal, cast

import torch
import torchvision
from torch import Tensor, nn

from lt_lightning.backbones.base import Backbone, loads_published_weights
from lt_lightning.errors import UsageError
from lt_lightning.wording import did_you_mean, first_few

_CLASSIFIERS = ("fc", "classifier", "head", "heads")


class TorchvisionBackbone(Backbone):
    """A torchvision classification model without its last linear layer and without auxiliary classifiers.

    Args:
        name: Model as torchvision calls it, e.g. ``resnet50``.
        cifar_stem: Fit a ResNet, DenseNet or MobileNetV2 to 32×32 images: the first two of five halvings are left out,
            so the last maps have 4×4 pixels instead of one. ResNets and DenseNets get a first convolution of 3×3 with
            stride 1 and no max-pooling; MobileNetV2, whose kernels are 3×3 already, gets stride 1 in its first
            convolution and in its first block of 24 channels. ResNet-34 so fitted is the backbone of LORT's and LTWB's
            CIFAR tables, ResNet-18 and MobileNetV2 are LGL-INR's.
        weights: torchvision's name of published weights, e.g. ``IMAGENET1K_V2``; ``None`` starts at random.

    Raises:
        UsageError: If torchvision has no such model or weights, the weights cannot be fetched, the model does not end
            in a linear layer, or ``cifar_stem`` is asked of a model of another family.
    """

    def __init__(self, name: str = "resnet34", cifar_stem: bool = False, weights: str | None = None) -> None:
        super().__init__()
        names = torchvision.models.list_models(module=torchvision.models)
        if name not in names:
            hint = did_you_mean(name, names) or f"there are {first_few(names)}."
            raise UsageError(f"`name` must be a torchvision classification model, but got {name!r}; {hint}")
        if cifar_stem and weights is not None:
            raise UsageError(
                f"`weights` {weights!r} belong to the original stem of {name!r}; leave out `weights` or `cifar_stem`."
            )
        try:
            fetched = weights is not None and loads_published_weights()
            begins_at = {"weights": weights} if fetched else _shape_of(name, weights)
            self.model = cast(nn.Module, torchvision.models.get_model(name, **begins_at))
        except (KeyError, ValueError) as error:
            known = [entry.name for entry in torchvision.models.get_model_weights(name)]
            raise UsageError(f"`weights` of {name!r} must be one of {known} or null, but got {weights!r}.") from error
        except OSError as error:
            raise UsageError(
                f"`weights` {weights!r} of {name!r} cannot be fetched: {error}; make the network once where there is "
                f"internet, which keeps them in {torch.hub.get_dir()!r}."
            ) from error
        if cifar_stem:
            _fit_to_cifar(self.model, name)
        if weights is not None:
            shown = _published(name, weights).transforms()
            self.published_transform = {"mean": tuple(shown.mean), "std": tuple(shown.std)}
        self.name = name
        self.cifar_stem = cifar_stem
        _drop_auxiliary(self.model)
        self.num_features = _drop_classifier(self.model, name)

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, D)``."""
        return torch.flatten(self.model(images), 1)

    def size_advice(self) -> str:
        """``data.image_size``; PyTorch's error says what is wrong with it."""
        return "give another `data.image_size`"


def _published(name: str, weights: str) -> torchvision.models.WeightsEnum:
    """Published weights by their name, with or without their class: ``ResNet50_Weights.IMAGENET1K_V1``."""
    return torchvision.models.get_model_weights(name)[weights.rpartition(".")[2]]


def _shape_of(name: str, weights: str | None) -> dict[str, Any]:
    """Arguments that give a model without published weights the architecture that these belong to."""
    size = None if weights is None else _published(name, weights).meta["min_size"]
    if name in ("googlenet", "inception_v3"):
        # Their own initialisation takes seconds, and torchvision warns that it will give it up.
        return {"transform_input": weights is not None, "aux_logits": False, "init_weights": False}
    if size is None:
        return {}
    if name.startswith("vit_"):
        return {"image_size": size[0]}
    return {"input_size": size} if name.startswith("maxvit_") else {}


def _fit_to_cifar(model: nn.Module, name: str) -> None:
    """Leave out the first two halvings; layers keep torchvision's names."""
    if isinstance(model, torchvision.models.ResNet):
        model.conv1 = _small_convolution(model.conv1, mode="fan_out")  # as torchvision starts ResNets
        model.maxpool = nn.Identity()
    elif isinstance(model, torchvision.models.DenseNet):
        model.features.conv0 = _small_convolution(model.features.conv0, mode="fan_in")  # as it starts DenseNets
        model.features.pool0 = nn.Identity()
    elif isinstance(model, torchvision.models.MobileNetV2):
        for path in ("features.0.0", "features.2.conv.1.0"):
            cast(nn.Conv2d, model.get_submodule(path)).stride = (1, 1)
    else:
        raise UsageError(
            f"`cifar_stem` is defined for torchvision's ResNets, DenseNets and MobileNetV2, but got {name!r}; set it "
            f"to false."
        )


def _small_convolution(stem: nn.Conv2d, mode: Literal["fan_in", "fan_out"]) -> nn.Conv2d:
    convolution = nn.Conv2d(stem.in_channels, stem.out_channels, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode=mode, nonlinearity="relu")
    return convolution


def _drop_auxiliary(model: nn.Module) -> None:
    """Leave out the auxiliary classifier that Inception v3's published weights come with: it would train on nothing."""
    if isinstance(model, torchvision.models.Inception3):
        model.aux_logits = False
        model.AuxLogits = None


def _drop_classifier(model: nn.Module, name: str) -> int:
    """Replace the last linear layer by the identity; return how many features it took."""
    linear = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    # A linear layer that is not where classifiers live (attention, squeeze-and-excitation) must not be cut out.
    if not linear or linear[-1][0].split(".")[0] not in _CLASSIFIERS:
        raise UsageError(f"`name` must be a model with one linear classifier at its end, but {name!r} has none such.")
    path, last = linear[-1]
    parent_path, _, attribute = path.rpartition(".")
    setattr(model.get_submodule(parent_path), attribute, nn.Identity())
    return last.in_features
