"""Every preset trains: a step in its own settings on made data, some from the command line to the results.

The overlays of ``tests/conf`` put a small network and small data in place of each preset's own.
"""

import json
import re
from pathlib import Path

import pytest
import torch
from preset_names import FREE, SINGLE, STAGE1, dataset_of

from lt_lightning import backbones, presets
from lt_lightning.backbones import WideResNet
from lt_lightning.main import LTCLI, main
from lt_lightning.pipeline import main as pipeline

OVERLAYS = Path(__file__).parent / "conf"
OVERLAY_OF = {
    "cifar10_lt": "cifar10_lt",
    "cifar10_step": "cifar10_lt",
    "cifar100_lt": "cifar100_lt",
    "cifar100_step": "cifar100_lt",
    "cifar10": "balanced",
    "cifar100": "balanced",
    "mnist": "balanced",
    "tiny_imagenet": "files",
    "imagenet_lt": "files",
    "inaturalist2018": "files",
    "places_lt": "files",
}
TWIN_SETS = {"cifar10_step": "cifar10_lt", "cifar100_step": "cifar100_lt", "places_lt": "imagenet_lt"}
"""Sets whose stage 1 differs from another's in the data alone; cross entropy and ELM train on each all the same."""
LISTS = ("ImageNet_LT_{}.txt", "Places_LT_{}.txt", "iNaturalist18_{}.txt")


def overlay(name):
    return OVERLAYS / f"{OVERLAY_OF[dataset_of(name)]}.yaml"


def typed(command, name, *more):
    return [command, "-c", name, "-c", str(overlay(name)), *more]


def results(here, name):
    return [json.loads(path.read_text()) for path in sorted(here.glob(f"runs/{name}/version_*/results.json"))]


# -- made data ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mnist_root(tmp_path_factory, make_pixels, encode_png, write_parquet):
    root = tmp_path_factory.mktemp("mnist")
    for split, per_class in (("train", 5), ("test", 1)):
        cells = [encode_png(make_pixels(i + 900 * per_class, 28, 28, 1)) for i in range(10 * per_class)]
        path = root / f"{split}-00000-of-00001.parquet"
        write_parquet(path, cells, [i % 10 for i in range(10 * per_class)], None, "image", "label")
    return root


@pytest.fixture(scope="session")
def files_root(tmp_path_factory, make_pixels, encode_png):
    """Three classes of 4, 3 and 2 training images: as folders, and in lists of every name that presets use."""
    root = tmp_path_factory.mktemp("files")
    seed = 0
    for split, counts in {"train": (4, 3, 2), "val": (1, 1, 1), "test": (1, 1, 1)}.items():
        lines = []
        for label, count in enumerate(counts):
            for number in range(count):
                path = root / split / f"class{label}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_png(make_pixels(seed, 16, 16)))
                lines.append(f"{path.relative_to(root).as_posix()} {label}")
                seed += 1
        for name in LISTS:
            (root / name.format(split)).write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session")
def root_of(parquet_root, cifar100_root, mnist_root, files_root):
    roots = {"cifar10": parquet_root, "cifar100": cifar100_root, "mnist": mnist_root}
    return lambda name: roots.get(re.sub("_(lt|step)$", "", dataset_of(name)), files_root)


@pytest.fixture(scope="session")
def one_step(root_of):
    """Makes a preset's parts in its own settings, with a small network and made data, and trains one step.

    The function gives what was made, and which parts of the model the step has changed.
    """

    def run(name, checkpoint=None, **more):
        base = presets.load(name)
        small = presets.load(str(overlay(name)))
        trainer = {"fast_dev_run": 1, "logger": False, "enable_checkpointing": False}
        changes = {"data": {"init_args": {"root": str(root_of(name))}}, "trainer": trainer | more, "model": {}}
        if dataset_of(name) == "mnist":
            changes["model"] = {"init_args": {"backbone": {"init_args": {"in_channels": 1}}}}
        if checkpoint is not None:
            changes["model"] = {"init_args": {"checkpoint": str(checkpoint)}}
        made = LTCLI(presets.merge(presets.merge(base, small), changes), run=False)
        before = {key: tensor.clone() for key, tensor in made.model.named_parameters()}
        if name not in FREE:
            made.trainer.fit(made.model, datamodule=made.datamodule)
        parameters = dict(made.model.named_parameters())
        changed = {key.partition(".")[0] for key, tensor in before.items() if not torch.equal(tensor, parameters[key])}
        return made, changed

    return run


@pytest.fixture(scope="session")
def stage1_of(one_step, tmp_path_factory):
    """A stage-1 checkpoint for each data set that has a stage 2."""
    made = {}

    def path(name):
        dataset = dataset_of(name)
        if dataset not in made:
            parts, _ = one_step(f"{dataset}/stage1/ce")
            made[dataset] = tmp_path_factory.mktemp(dataset) / "stage1.ckpt"
            parts.trainer.save_checkpoint(made[dataset])
        return made[dataset]

    return path


# -- every preset ------------------------------------------------------------------------------------------------------


TWINS = {name for name in STAGE1 if dataset_of(name) in TWIN_SETS and not name.endswith(("/ce", "/elm"))}


@pytest.mark.parametrize("name", sorted(TWINS))
def test_stage1_is_that_of_another_set(name):
    ours = presets.load(name)
    theirs = presets.load(name.replace(dataset_of(name), TWIN_SETS[dataset_of(name)]))
    assert {**ours, "data": None} == {**theirs, "data": None}
    batches = ("batch_size", "augmentation", "sampler")
    first, second = (config["data"]["init_args"] for config in (ours, theirs))
    assert [first.get(key) for key in batches] == [second.get(key) for key in batches]


@pytest.mark.parametrize("name", sorted(STAGE1 - TWINS))
def test_stage1_trains_a_step(one_step, name):
    torch.manual_seed(0)
    made, changed = one_step(name)
    assert made.trainer.global_step == 1
    assert changed == {"backbone", "head"}
    assert all(torch.isfinite(parameter).all() for parameter in made.model.parameters())


@pytest.mark.parametrize("name", sorted(set(SINGLE) - STAGE1))
def test_stage2_trains_a_step_or_is_tested(one_step, stage1_of, name):
    made, changed = one_step(name, stage1_of(name))
    assert made.model.trains == (name not in FREE)
    if made.model.trains:
        assert made.trainer.global_step == 1
        assert "head" in changed
        assert all(torch.isfinite(parameter).all() for parameter in made.model.parameters())
    else:
        made.trainer.test(made.model, datamodule=made.datamodule, verbose=False)
        assert sum(made.model.evaluation["test"]["per_class"]["total"]) > 0


def heavy_backbones():
    """Each network that a preset names, once, and the other one of DLR's table."""
    found = {"WideResNet": ({"class_path": "WideResNet"}, "cifar10/stage1/sr")}
    for name in SINGLE:
        spec = presets.load(name)["model"]["init_args"]["backbone"]
        spec = {"class_path": spec} if isinstance(spec, str) else spec
        found.setdefault(json.dumps(spec, sort_keys=True), (spec, name))
    return list(found.values())


@pytest.mark.parametrize(("spec", "name"), heavy_backbones(), ids=lambda value: value if isinstance(value, str) else "")
def test_networks_of_the_presets_take_their_images(spec, name):
    """Built without memory; published weights are left to whoever can download them."""
    arguments = {**spec.get("init_args", {}), **({"weights": None} if "weights" in spec.get("init_args", {}) else {})}
    with torch.device("meta"):
        network = getattr(backbones, spec["class_path"])(**arguments)
        side, channels = {"mnist": (28, 1), "tiny_imagenet": (64, 3)}.get(dataset_of(name), (32, 3))
        if OVERLAY_OF[dataset_of(name)] == "files" and dataset_of(name) != "tiny_imagenet":
            side = 224
        assert network(torch.empty(2, channels, side, side)).shape == (2, network.num_features)


def test_the_wide_network_is_that_of_the_paper():
    with torch.device("meta"):
        weights = sum(parameter.numel() for parameter in WideResNet().parameters())
    assert weights == pytest.approx(36.5e6, rel=0.01)  # WRN-28-10


# -- some, as typed ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def cifar100_stage1(tmp_path_factory, cifar100_root):
    folder = tmp_path_factory.mktemp("cifar100_stage1")
    options = (f"--data.root={cifar100_root}", f"--trainer.default_root_dir={folder}")
    main(typed("fit", "cifar100_lt/stage1/ce", *options))
    (checkpoint,) = folder.rglob("last.ckpt")
    return checkpoint


@pytest.mark.parametrize("name", ["cifar100_lt/lort", "cifar100_lt/crt", "cifar100_lt/ltwb", "cifar100_lt/elm"])
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


@pytest.mark.parametrize("name", ["cifar100_lt/tau_norm", "cifar100_lt/ncm"])
def test_methods_that_do_not_train(here, cifar100_root, cifar100_stage1, name):
    main(typed("test", name, f"--data.root={cifar100_root}", f"--model.checkpoint={cifar100_stage1}"))
    assert results(here, name)[0]["evaluation"]["test"]["per_class"]["total"] == [1] * 100


@pytest.mark.filterwarnings("ignore:.*`DRW` changes nothing in a run of epochs 0 to 0")
@pytest.mark.parametrize("name", ["cifar10_lt/stage1/ce", "cifar10_lt/stage1/elm_drw"])
def test_stage1_of_cifar10(here, parquet_root, name):
    main(typed("fit", name, f"--data.root={parquet_root}"))
    (record,) = results(here, name)
    assert record["class_counts"] == [12, 10, 8, 7, 6, 5, 4, 4, 3, 3]
    # What the run saved is complete: it runs again without preset or fragment.
    saved = here / f"runs/{name}/version_0/config.yaml"
    assert presets.STACK not in saved.read_text()
    main(["fit", "-c", str(saved), "--trainer.logger=false", "--trainer.enable_checkpointing=false"])


def test_pipeline_of_cifar100(here, cifar100_root):
    names = ("-c", "cifar100_lt/pipeline_lort", "-c", str(OVERLAYS / "pipeline.yaml"))
    pipeline(["pipeline", *names, f"--data.root={cifar100_root}"])
    (record,) = results(here, "tiny")
    assert list(record["stages"]) == ["stage1", "lort"]
    assert record["preset"] == "cifar100_lt/pipeline_lort"


def test_pipeline_of_our_recipe(here, cifar100_root):
    names = ("-c", "cifar100_lt/pipeline_best", "-c", str(OVERLAYS / "pipeline_best.yaml"))
    pipeline(["pipeline", *names, f"--data.root={cifar100_root}"])
    (record,) = results(here, "tiny")
    assert list(record["stages"]) == ["stage1", "mislas", "lort"]
    stage1, *stages = (row["augmentation"] for row in record["stages"].values())
    assert [step["class"].rpartition(".")[2] for step in stage1["steps"]] == ["AutoAugment", "Cutout"]
    assert {stage["class"].rpartition(".")[2] for stage in stages} == {"NoAugmentation"}
    (stage1,) = (json.loads(path.read_text()) for path in here.rglob("stage1/results.json"))
    assert (stage1["loss"], stage1["schedules"]) == ("BalancedSoftmaxLoss", ["LinearWarmup"])


def test_quickstart(here):
    pipeline(["pipeline", "-c", "quickstart", "-c", str(OVERLAYS / "quickstart.yaml")])
    (record,) = results(here, "tiny")
    assert list(record["stages"]) == ["stage1", "lort", "tau_norm", "lws", "max_norm", "logit_adjustment"]


def test_the_pipeline_of_all_methods_is_made_of_their_presets():
    plan = presets.load("cifar100_lt/pipeline_all")
    methods = {name.partition("/")[2] for name in set(SINGLE) - STAGE1 if dataset_of(name) == "cifar100_lt"} - {"best"}
    assert set(plan["stage2"]) == methods
    for method, stage in plan["stage2"].items():
        preset = presets.load(f"cifar100_lt/{method}")
        assert stage["model"] == preset["model"]
        assert stage.get("trainer") == preset.get("trainer")
        assert stage.get("sampler") == preset["data"]["init_args"].get("sampler")
    assert plan["stage1"]["model"] == presets.load("cifar100_lt/stage1/ce")["model"]
