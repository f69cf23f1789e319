"""Settings of presets are those that papers print."""

import re

import pytest
from preset_names import STAGE1

from lt_lightning import presets
from lt_lightning.data import CIFAR100LT, MNISTLT

LINEAR, BALANCED = "LinearHead", "ClassBalancedSampler"
CE, CB = "CrossEntropyLoss", "ClassBalancedLoss"
# What the architecture page tables: (head, loss, learning rate, weight decay, epochs, sampler).
TABLE = {
    "linear": (LINEAR, CE, 5e-4, 0, 20, None),
    "cosine": ("CosineHead", CE, 1e-2, 0, 20, None),
    "crt": (LINEAR, CE, 0.1, 5e-4, 10, BALANCED),
    "re_sampling": (LINEAR, CE, 1e-2, 0, 20, "InverseFrequencySampler"),
    "lws": ("LWSHead", CE, 0.2, 5e-4, 5, BALANCED),
    "max_norm": ("MaxNormHead", CE, 1e-2, 0, 20, None),
    "ltwb": ("MaxNormHead", CB, 1e-2, 0.1, 10, None),
    "ldam": (LINEAR, "LDAMLoss", 1e-2, 0, 20, None),
    "ldam_cosine": ("CosineHead", "LDAMLoss", 1e-2, 0, 20, None),
    "balanced_softmax": (LINEAR, "BalancedSoftmaxLoss", 1e-2, 0, 20, None),
    "focal": (LINEAR, "FocalLoss", 1e-2, 0, 20, None),
    "class_balanced_bce": (LINEAR, CB, 1, 0, 20, None),
    "class_balanced_sigmoid": (LINEAR, CB, 1, 0, 20, None),
    "disalign": ("DisAlignHead", "GeneralizedReweightLoss", 0.1, 5e-4, 10, None),
    "lort": (LINEAR, "LORTLoss", 5e-4, 0, 20, None),
    "mislas": (LINEAR, "LabelAwareSmoothingLoss", 2e-2, 0, 10, BALANCED),
}
# Constants of head and loss, likewise.
CONSTANTS = {
    "cosine": {"scale": 16},
    "crt": {"reset": True},
    "tau_norm": {"tau": 1},
    "logit_adjustment": {"tau": 1},
    "max_norm": {"threshold": 0.1, "project_every": "step"},
    "ltwb": {"threshold": 0.1, "project_every": "epoch", "kind": "softmax_bce", "beta": 0.9999},
    "ldam": {"max_margin": 0.5, "scale": 1},
    "focal": {"gamma": 2},
    "class_balanced_bce": {"kind": "softmax_bce", "beta": 0.9999},
    "class_balanced_sigmoid": {"kind": "sigmoid", "beta": 0.9999},
    "disalign": {"rho": 1.2},
    "lort": {"delta": 0.98},
    "mislas": {"head": 0.4, "tail": 0.1, "shape": "concave"},
}


def class_of(part):
    return (part if isinstance(part, str) else part["class_path"]).rpartition(".")[2]


def arguments_of(part):
    return {} if isinstance(part, str) else part.get("init_args", {})


@pytest.mark.parametrize("method", TABLE)
def test_published_settings(method):
    config = presets.load(f"cifar100_lt/{method}")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    optimizer = model["optimizer"]["init_args"]
    assert (
        class_of(model["head"]),
        class_of(model["loss"]),
        optimizer["lr"],
        optimizer["weight_decay"],
        config["trainer"]["max_epochs"],
        data.get("sampler"),
    ) == TABLE[method]
    assert optimizer["momentum"] == 0.9
    assert data["batch_size"] == 64
    assert class_of(model["lr_scheduler"]) == "CosineLR"


@pytest.mark.parametrize("method", CONSTANTS)
def test_published_constants(method):
    model = presets.load(f"cifar100_lt/{method}")["model"]["init_args"]
    assert arguments_of(model["head"]) | arguments_of(model.get("loss", "")) == CONSTANTS[method]


# Kang et al.'s, whose code has settings of its own for each set: (learning rate, weight decay, epochs, batch size).
DECOUPLED = {
    "imagenet_lt/crt": (0.1, 5e-4, 10, 128),
    "imagenet_lt/lws": (0.2, 5e-4, 5, 128),
    "inaturalist2018/crt": (0.1, 1e-4, 30, 256),
    "inaturalist2018/lws": (0.2, 1e-4, 5, 256),
    "places_lt/crt": (0.1, 5e-4, 10, 256),
    "places_lt/lws": (0.1, 5e-4, 5, 256),
}


@pytest.mark.parametrize("name", DECOUPLED)
def test_settings_of_decoupled_training_on_large_sets(name):
    epochs, batch_size, rate, _, decay, *_ = recipe(name)
    assert (rate, decay, epochs, batch_size) == DECOUPLED[name]


def test_large_sets_have_their_own_delta():
    for dataset in ("imagenet_lt", "inaturalist2018", "places_lt"):
        model = presets.load(f"{dataset}/lort")["model"]["init_args"]
        assert model["loss"]["init_args"]["delta"] == 0.99


def recipe(name):
    config = presets.load(name)
    model = config["model"]["init_args"]
    optimizer, schedule = model["optimizer"]["init_args"], arguments_of(model["lr_scheduler"])
    steps = (schedule.get("milestones"), schedule.get("gamma"))
    settings = (optimizer["lr"], optimizer["momentum"], optimizer.get("weight_decay", 0), *steps)
    return config["trainer"]["max_epochs"], config["data"]["init_args"]["batch_size"], *settings


# (epochs, batch size, learning rate, momentum, weight decay, epochs after which the rate falls, by what)
RECIPES = {
    "cifar100_lt/stage1/ce": (200, 64, 0.01, 0.9, 5e-3, None, None),
    "cifar100_lt/stage1/best": (200, 128, 0.1, 0.9, 5e-4, None, None),
    "imagenet_lt/stage1/ce": (200, 128, 0.03, 0.9, 5e-4, None, None),
    "inaturalist2018/stage1/ce": (200, 256, 0.1, 0.9, 1e-4, None, None),
    "cifar10/stage1/ss_lr": (300, 128, 0.1, 0.9, 1e-4, None, None),
    "tiny_imagenet/stage1/hs_lr": (300, 64, 0.1, 0.9, 1e-4, None, None),
    "mnist/stage1/lgl_inr": (20, 64, 0.01, 0.5, 0, None, None),
    "cifar10/stage1/lgl_inr_resnet18": (100, 64, 0.1, 0.9, 1e-4, [50, 75], 0.1),
}


@pytest.mark.parametrize("name", RECIPES)
def test_published_recipes(name):
    assert recipe(name) == RECIPES[name]


def test_lgl_inr_trains_on_the_standard_training_set():
    data = presets.load("mnist/stage1/lgl_inr")["data"]["init_args"]
    made = MNISTLT(**{key: value for key, value in data.items() if key != "root"})
    assert (sum(made.class_counts), made.val_from, made.crop_padding, made.flip) == (60_000, "none", 0, False)


@pytest.mark.parametrize("name", ["tiny_imagenet/stage1/sr", "cifar100/stage1/sr"])
def test_dlr_augments_by_translations_and_mirror_images(name):
    data = presets.load(name)["data"]["init_args"]
    if name.startswith("tiny"):
        assert (data["image_size"], data["resize"], data["crop_padding"]) == (64, 64, 8)
    else:
        made = CIFAR100LT(imbalance_ratio=data["imbalance_ratio"])
        assert (made.crop_padding, made.flip) == (4, True)


ELM_ROWS = sorted(name for name in STAGE1 if name not in RECIPES)


@pytest.mark.parametrize(
    "name", [name for name in ELM_ROWS if re.match(r"(cifar\d+_(lt|step)|imagenet_lt|places_lt)/", name)]
)
def test_recipe_of_elms_tables(name):
    """ELM, section IV A: CIFAR as LDAM; the large sets with 90 epochs from published weights; DRW after 80 %."""
    config = presets.load(name)
    small = name.startswith("cifar")
    expected = (200, 128, 0.1, 0.9, 2e-4, [160, 180], 0.01) if small else (90, 256, 0.1, 0.9, 2e-4, [50, 70, 85], 0.1)
    if name.endswith("ib_focal"):  # IB's own code lets the rate fall where its loss starts
        expected = (*expected[:5], [100, 160, 180] if small else [45, 50, 70, 85], expected[6])
    assert recipe(name) == expected
    callbacks = {entry["class_path"]: entry["init_args"] for entry in config["trainer"]["callbacks"]}
    assert callbacks.pop("LinearWarmup") == {"epochs": 5}
    deferred = {"DRW": {"start": 0.8, "beta": 0.9999}} if name.endswith("_drw") else {}
    assert callbacks == ({"DeferredLoss": {"start": 0.5}} if name.endswith("ib_focal") else deferred)
    model = config["model"]["init_args"]
    assert model["backbone"] == "ResNet32" or model["backbone"]["init_args"]["weights"] == "IMAGENET1K_V1"
    loss = arguments_of(model["loss"])
    if "ldam" in name or "elm" in name:
        assert (class_of(model["head"]), model["head"]["init_args"]) == ("CosineHead", {"scale": 1})
        assert (loss["max_margin"], loss["scale"]) == (0.5, 30)
    if "/elm" in name:
        assert loss["lam"] == 1
        assert loss.get("target_margin", True) == ("without_target_margin" not in name)
