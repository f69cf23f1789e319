"""ELM's Tables I to III."""

from reproducing.tables import Cell, Column, Table, Training, loss_with, ratio

_PRESETS = {
    "LMSCE": "lmsce",
    "Focal": "focal",
    "Equalization v2": "eqlv2",
    "IB focal": "ib_focal",
    "LDAM": "ldam",
    "MM-LDAM": "mm_ldam",
    "LDAM + DRW": "ldam_drw",
    "MM-LDAM + DRW": "mm_ldam_drw",
}
_FAMILIES = {"ELM w/o Δ_y": "elm_without_target_margin", "ELM": "elm", "ELM + DRW": "elm_drw"}
_CROSS_ENTROPY = {"cifar100_lt": "ce_resnet32", "imagenet_lt": "ce_resnet50"}
_SETS = {
    "cifar10_lt": "CIFAR10-LT",
    "cifar10_step": "CIFAR10-Step",
    "cifar100_lt": "CIFAR100-LT",
    "cifar100_step": "CIFAR100-Step",
}


def _training(dataset: str, row: str) -> Training:
    if row == "CE":
        return Training(f"{dataset}/stage1/{_CROSS_ENTROPY.get(dataset, 'ce')}")
    if row in _PRESETS:
        return Training(f"{dataset}/stage1/{_PRESETS[row]}")
    family, _, value = row.removesuffix(")").partition(" (λ=")
    lam = float(value)
    return Training(f"{dataset}/stage1/{_FAMILIES[family]}", {} if lam == 1.0 else loss_with(lam=lam))


def _rows(*lams: tuple[str, tuple[float, ...]]) -> list[str]:
    return ["CE", *_PRESETS, *(f"{family} (λ={lam})" for family, values in lams for lam in values)]


_ROWS1 = _rows(("ELM w/o Δ_y", (1.0, 0.5, 0.1)), ("ELM", (1.2, 1.0, 0.5, 0.1)), ("ELM + DRW", (1.2, 1.0, 0.5, 0.1)))
_ROWS23 = _rows(("ELM", (1.0, 0.5, 0.1)), ("ELM + DRW", (1.0, 0.5, 0.1)))


def _column(dataset: str, number: int) -> Column:
    name = f"{dataset}_ir{number}"
    return Column(name, f"{_SETS[dataset]}, ratio {number}", {"all": f"{name}_mean"}, spread=f"{name}_std")


ELM1 = Table(
    name="elm1",
    title="ELM, Table I: long-tailed and step-imbalanced CIFAR, ResNet-32",
    aggregation="mean ± standard deviation of three runs",
    columns=tuple(_column(dataset, number) for dataset in _SETS for number in (10, 100)),
    cells=tuple(
        Cell(row, f"{dataset}_ir{number}", _training(dataset, row).changed(ratio(number) if number != 100 else {}))
        for dataset in _SETS
        for number in (10, 100)
        for row in _ROWS1
    ),
)


_TOP = {"micro": "top1", "top3": "top3", "top5": "top5"}


def _large(name: str, number: str, dataset: str, title: str, test_images: int, text: str = "") -> Table:
    return Table(
        name=name,
        title=f"ELM, Table {number}: {title}, ResNet-50 pre-trained on ImageNet",
        aggregation="one run",
        columns=(Column(dataset, title, _TOP, needs="images", test_images=test_images),),
        cells=tuple(Cell(row, dataset, _training(dataset, row)) for row in _ROWS23),
        text=text,
    )


ELM2 = _large("elm2", "II", "imagenet_lt", "ImageNet-LT", 50_000)
ELM3 = _large(
    "elm3",
    "III",
    "places_lt",
    "Places-LT",
    36_500,
    "It counts 184.5 thousand training images; the lists as published, which are used here, have 62,500.",
)
