"""Every preset, run end to end: the preset itself, with its tiny twin of ``tests/conf`` laid over it."""

import json
from pathlib import Path

import pytest
import yaml

from lt_lightning import presets
from lt_lightning.main import main
from lt_lightning.pipeline import main as pipeline

TWINS = Path(__file__).parent / "conf"
TRAINING_FREE = {"cifar100_lt/tau_norm", "cifar100_lt/logit_adjustment"}
STAGE1 = {"cifar100_lt/stage1/ce", "cifar10_lt/stage1/ce"}
PIPELINES = {"quickstart", "cifar100_lt/pipeline_lort"}
RETRAINED = set(presets.names()) - STAGE1 - PIPELINES - TRAINING_FREE


def typed(command, name, *more):
    return [command, "-c", name, "-c", str(TWINS / f"{name}.yaml"), *more]


def results(here, name):
    return [json.loads(path.read_text()) for path in sorted(here.glob(f"runs/{name}/version_*/results.json"))]


@pytest.fixture(scope="session")
def cifar100_stage1(tmp_path_factory, cifar100_root):
    folder = tmp_path_factory.mktemp("cifar100_stage1")
    options = (f"--data.root={cifar100_root}", f"--trainer.default_root_dir={folder}")
    main(typed("fit", "cifar100_lt/stage1/ce", *options))
    (checkpoint,) = folder.rglob("last.ckpt")
    return checkpoint


def test_every_preset_has_a_twin():
    twins = {path.relative_to(TWINS).with_suffix("").as_posix() for path in TWINS.rglob("*.yaml")}
    assert twins == set(presets.names())


@pytest.mark.parametrize("name", sorted(RETRAINED))
def test_methods_that_train(here, cifar100_root, cifar100_stage1, name):
    options = (f"--data.root={cifar100_root}", f"--model.checkpoint={cifar100_stage1}")
    main(typed("fit", name, *options))
    (record,) = results(here, name)
    assert record["preset"] == name
    assert record["data"]["sizes"]["train"] == sum(record["class_counts"])
    assert record["evaluation"]["val"]["per_class"]["total"][-1] == 1
    (checkpoint,) = here.rglob("last.ckpt")
    main(typed("test", name, *options, f"--ckpt_path={checkpoint}"))
    assert results(here, name)[1]["evaluation"]["test"]["per_class"]["total"] == [1] * 100


@pytest.mark.parametrize("name", sorted(TRAINING_FREE))
def test_methods_that_do_not_train(here, cifar100_root, cifar100_stage1, name):
    main(typed("test", name, f"--data.root={cifar100_root}", f"--model.checkpoint={cifar100_stage1}"))
    assert results(here, name)[0]["evaluation"]["test"]["per_class"]["total"] == [1] * 100


def test_stage1_of_cifar10(here, parquet_root):
    name = "cifar10_lt/stage1/ce"
    main(typed("fit", name, f"--data.root={parquet_root}"))
    (record,) = results(here, name)
    assert record["class_counts"] == [12, 10, 8, 7, 6, 5, 4, 4, 3, 3]


def test_pipeline_of_cifar100(here, cifar100_root):
    pipeline(typed("pipeline", "cifar100_lt/pipeline_lort", f"--data.root={cifar100_root}"))
    (record,) = results(here, "tiny")
    assert list(record["stages"]) == ["stage1", "lort"]


def test_quickstart(here):
    pipeline(typed("pipeline", "quickstart"))
    (record,) = results(here, "tiny")
    assert list(record["stages"]) == ["stage1", "lort", "tau_norm", "lws", "max_norm", "logit_adjustment"]


# What the architecture page tables: (head, loss, learning rate, weight decay, epochs, sampler).
TABLE = {
    "linear": ("LinearHead", "CrossEntropyLoss", 5e-4, 0, 20, None),
    "crt": ("LinearHead", "CrossEntropyLoss", 0.1, 5e-4, 10, "ClassBalancedSampler"),
    "re_sampling": ("LinearHead", "CrossEntropyLoss", 1e-2, 0, 20, "InverseFrequencySampler"),
    "lws": ("LWSHead", "CrossEntropyLoss", 0.2, 5e-4, 5, "ClassBalancedSampler"),
    "max_norm": ("MaxNormHead", "CrossEntropyLoss", 1e-2, 0, 20, None),
    "balanced_softmax": ("LinearHead", "BalancedSoftmaxLoss", 1e-2, 0, 20, None),
    "class_balanced_bce": ("LinearHead", "ClassBalancedLoss", 1, 0, 20, None),
    "lort": ("LinearHead", "LORTLoss", 5e-4, 0, 20, None),
}


def class_of(part):
    return (part if isinstance(part, str) else part["class_path"]).rpartition(".")[2]


@pytest.mark.parametrize("method", TABLE)
def test_published_settings(method):
    config = yaml.safe_load(Path(presets.resolve(f"cifar100_lt/{method}")).read_text())
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
