"""Tables on balanced sets: DLR's Table 1, LGL-INR's Tables 3 to 5."""

from reproducing.tables import Cell, Changes, Column, Table, Training, loss_with, network

_ALL_OF_CIFAR10 = "all training images of CIFAR-10, of which a part cut for long tails was at hand"
_DLR_SETS = {
    "cifar10": ("cifar10", "CIFAR-10", _ALL_OF_CIFAR10),
    "cifar100": ("cifar100", "CIFAR-100", ""),
    "tiny200": ("tiny_imagenet", "Tiny-ImageNet", "images"),
}
_DLR_LOSSES = {"SR": "sr", "LR": "lr", "HS-LR": "hs_lr", "SS-LR": "ss_lr"}
_DLR_ROWS = [("ResNet-32", loss) for loss in _DLR_LOSSES] + [("WRN-28-10", loss) for loss in ("SR", "LR", "HS-LR")]

DLR1 = Table(
    name="dlr1",
    title="DLR, Table 1: balanced object classes",
    aggregation="mean of ten runs",
    keys=2,
    columns=tuple(Column(name, title, {"all": name}, needs=needs) for name, (_, title, needs) in _DLR_SETS.items()),
    cells=tuple(
        Cell(
            f"{net}, {loss}",
            column,
            Training(f"{folder}/stage1/{_DLR_LOSSES[loss]}", network("WideResNet") if net == "WRN-28-10" else {}),
        )
        for net, loss in _DLR_ROWS
        for column, (folder, _, _) in _DLR_SETS.items()
    ),
    text="The paper states no schedule; a cosine to 0 is ours. m of HS-LR is 25 %, which the paper chose between 25 "
    "and 75 on validation images. Its ResNet-32 has 0.7 million parameters; He's, which is ours, has 0.46.",
)

_LGL = {"LGL": "lgl", "SML": "sml", "LGL-INR": "lgl_inr"}
_VARIANTS = {
    "mnist": ("mnist", "MNIST", ""),
    "fmnist": ("fashion", "Fashion-MNIST", "images"),
    "kmnist": ("kmnist", "Kuzushiji-MNIST", "images"),
}


def _variant(name: str) -> Changes:
    return {} if name == "mnist" else {"data": {"init_args": {"variant": name}}}


def _small_network(name: str) -> Changes:
    return {} if name == "CNN2C" else network(name)


LGL3 = Table(
    name="lgl3",
    title="LGL-INR, Table 3: sets of MNIST's kind, 20 epochs",
    aggregation="number of runs not stated",
    keys=2,
    # top-1 accuracy, which in MNIST's test set, of unequal classes, is not the mean over classes
    columns=tuple(Column(name, title, {"micro": name}, needs=needs) for name, (_, title, needs) in _VARIANTS.items()),
    cells=tuple(
        Cell(
            f"{net}, {loss}",
            column,
            Training(f"mnist/stage1/{preset}").changed(_variant(variant), _small_network(net)),
        )
        for column, (variant, _, _) in _VARIANTS.items()
        for net in ("CNN2C", "CNN5C")
        for loss, preset in _LGL.items()
    ),
    text="Share of all test images that are right. The paper trains on the standard training sets, as the presets do.",
)

LGL4 = Table(
    name="lgl4",
    title="LGL-INR, Table 4: CIFAR-10, 100 epochs",
    aggregation="number of runs not stated",
    columns=tuple(
        Column(name, title, {"all": name}, needs=_ALL_OF_CIFAR10)
        for name, title in {"mobilenetv2": "MobileNetV2", "resnet18": "ResNet-18"}.items()
    ),
    cells=tuple(
        Cell(row, column, Training(f"cifar10/stage1/{preset}_{suffix}"))
        for row, preset in _LGL.items()
        for column, suffix in {"mobilenetv2": "mobilenet_v2", "resnet18": "resnet18"}.items()
    ),
)

LGL5 = Table(
    name="lgl5",
    title="LGL-INR, Table 5: β of LGL-INR on Kuzushiji-MNIST, CNN2C",
    aggregation="number of runs not stated",
    columns=(Column("kmnist_cnn2c", "Kuzushiji-MNIST, CNN2C", {"all": "kmnist_cnn2c"}, needs="images"),),
    cells=tuple(
        Cell(
            beta,
            "kmnist_cnn2c",
            Training("mnist/stage1/lgl_inr").changed(
                _variant("kmnist"), {} if beta == "1" else loss_with(beta=float(beta))
            ),
        )
        for beta in ("1", "2", "4")
    ),
)
