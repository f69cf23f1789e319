"""``lt-lightning probe`` from end to end."""

import json

import pytest
import torch
import yaml

from lt_lightning import checkpoints, cli
from lt_lightning.backbones import SmallCNN
from lt_lightning.data import DigitsLT
from lt_lightning.probing import command
from lt_lightning.records import read_record
from tests.two_processes import command_in_two_processes

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning",
    "ignore:No method is better:UserWarning",
    "ignore:Stage 1 is clearly better:UserWarning",  # digits of other writers test
)

QUIET = ("--features.progress=false", "--features.device=cpu")


@pytest.fixture
def network(here):
    """A network of 7 other classes."""
    torch.manual_seed(0)
    tensors = {f"trunk.{key}": value for key, value in SmallCNN(8).state_dict().items()}
    torch.save({"model": tensors | {"fc.weight": torch.zeros(7, 8), "fc.bias": torch.zeros(7)}}, "network.pth")
    return here / "network.pth"


@pytest.fixture
def arguments(network):
    small = ("--backbone=SmallCNN", "--backbone.num_features=8")
    return ["probe", f"--checkpoint={network}", *small, "--data=DigitsLT", *QUIET]


@pytest.fixture
def probed(arguments, here):
    cli.main(arguments)
    return here / "runs/probe/version_0"


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_table_and_files(arguments, here, capsys):
    cli.main(arguments)
    shown = capsys.readouterr().out
    assert "left aside: 'fc.weight', 'fc.bias'" in shown
    assert "linear classifier on SmallCNN, l2" in shown
    assert "runs/probe/version_0/probe.ckpt: a stage 1 for" in shown
    folder = here / "runs/probe/version_0"
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "probe.ckpt", "results.json"]
    record = results(folder)
    assert record["l2"] in [tried["l2"] for tried in record["tried"]]
    assert record["selection"] == "val: the penalty"
    assert set(record["data"]["hashes"]) >= {"train", "val", "test"}
    assert set(record["evaluation"]) == {"val", "test"}
    assert {name: made["precision"] for name, made in record["features"].items()} == dict.fromkeys(
        ("train", "val", "test"), "fp32"
    )
    assert len(record["started_from"]["sha256"]) == 64


class Slanted(SmallCNN):
    """Has an argument that may be null, and is not by default."""

    def __init__(self, slant: float | None = 0.5, num_features: int = 8) -> None:
        super().__init__(num_features)
        self.slant = slant


def test_a_null_is_kept_or_refused(arguments, here, capsys):
    own = [f"--backbone={__name__}.Slanted", "--backbone.slant=null", "--data=DigitsLT", "--data.max_count=null"]
    cli.main([*arguments[:2], *own, *QUIET])
    folder = here / "runs/probe/version_0"
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["data"]["init_args"]["max_count"] is None
    assert config["backbone"]["init_args"]["slant"] is None
    hyper_parameters = torch.load(folder / "probe.ckpt", weights_only=True)["hyper_parameters"]
    assert hyper_parameters["backbone"]["init_args"]["slant"] is None
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--data.imbalance_ratio=null"])
    assert "`data.imbalance_ratio` is null, which it cannot be; give a value" in capsys.readouterr().err


def test_splits_of_other_classes_have_tables_of_their_own(network, folder_root, here, capsys):
    """None of the validation images shows a cat."""
    torch.save({f"trunk.{key}": tensor for key, tensor in SmallCNN(8, in_channels=3).state_dict().items()}, network)
    small = ("--backbone=SmallCNN", "--backbone.num_features=8", "--backbone.in_channels=3")
    data = ("--data=ImageFolderLT", f"--data.root={folder_root}", "--data.image_size=32")
    cli.main(["probe", f"--checkpoint={network}", *small, *data, "--data.group_thresholds=[3,5]", *QUIET])
    val, test = capsys.readouterr().out.split("linear classifier on")[1:]
    for shown, number, few in ((val, 2, 0), (test, 3, 1)):
        assert f"{number} classes" in shown
        assert f"{few} classes" in shown
    sizes = {name: found["group_sizes"] for name, found in results(here / "runs/probe/version_0")["evaluation"].items()}
    assert sizes == {name: {"many": 1, "medium": 1, "few": few} for name, few in (("val", 0), ("test", 1))}


def test_its_own_configuration_gives_the_same_figures(probed, here):
    cli.main(["probe", "-c", str(probed / "config.yaml")])
    first, second = results(probed), results(here / "runs/probe/version_1")
    assert first["evaluation"] == second["evaluation"]
    assert first["tried"] == second["tried"]


def test_test_and_predict_say_what_it_said(probed, here):
    options = ("--data=DigitsLT", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
    cli.main(["test", f"--ckpt_path={probed / 'probe.ckpt'}", *options])
    (tested,) = here.glob("runs/RepresentationModule/*/results.json")
    record = json.loads(tested.read_text())
    assert record["selection"] == results(probed)["selection"]
    there = record["evaluation"]["test"]["accuracy"]
    assert there == pytest.approx(results(probed)["evaluation"]["test"]["accuracy"], abs=1e-6)
    cli.main(["predict", f"--ckpt_path={probed / 'probe.ckpt'}", *options, "--output=said.csv"])
    assert (here / "said.csv").is_file()


def test_methods_start_from_it(probed, here, capsys):
    options = ["--backbone=SmallCNN", "--backbone.num_features=8", "--data=DigitsLT", "--views=1", "--draws=50", *QUIET]
    start = ["compare", f"--checkpoint={probed / 'probe.ckpt'}", *options]
    cli.main([*start, "--methods=lort,tau_norm", "--unseen=true"])
    record = results(here / "runs/compare/version_0")
    assert record["protocol"]["selection"] == "val"
    ours = results(probed)["evaluation"]["test"]["accuracy"]["all"]
    assert record["rows"]["stage 1"]["mean"]["all"] == pytest.approx(ours, abs=1e-6)
    capsys.readouterr()
    cli.main(["report", "runs"])
    shown = capsys.readouterr().out
    assert "LinearHead" in shown
    assert "tau_norm" in shown


def test_a_classifier_on_weights_of_nobody_knows_what_makes_no_record_of_them(probed, here):
    """The network may have been trained on the images that are held out here."""
    options = ["--data=DigitsLT", "--views=1", "--draws=50", "--methods=tau_norm", *QUIET]
    with pytest.warns(UserWarning, match="Nothing is selected, for the checkpoint began with weights of which nothing"):
        cli.main(["compare", f"--checkpoint={probed / 'probe.ckpt'}", *options])
    record = results(here / "runs/compare/version_0")
    assert record["protocol"]["selection"] == "unselected"
    assert record["checkpoint"]["past"] == [{"weights": "file", "train": None}]


def test_stage_2_starts_from_it(probed, tiny, here):
    cli.main(tiny("fit", "RetrainModule", f"--model.checkpoint={probed / 'probe.ckpt'}", "--trainer.max_epochs=1"))
    (fitted,) = here.glob("runs/RetrainModule/*/results.json")
    assert json.loads(fitted.read_text())["epochs"] == 1


def test_features_in_a_cache_are_those_of_compare(arguments, here, capsys):
    cli.main([*arguments, "--features.cache=kept", "--l2=0.01"])
    capsys.readouterr()
    options = [word for word in arguments[2:] if word.startswith(("--backbone", "--data", "--features"))]
    start = ["compare", "--checkpoint=runs/probe/version_0/probe.ckpt", *options]
    cli.main(
        [
            *start,
            "--methods=tau_norm",
            "--views=1",
            "--features.cache=kept",
            "--oracle=false",
            "--draws=50",
            "--unseen=true",
        ]
    )
    shown = capsys.readouterr().out
    assert "computed in" not in shown
    assert shown.count(", from kept/") == 3


def test_weights_of_ones_own_backbone_need_no_file(here, monkeypatch):
    (here / "ready.py").write_text(
        "import torch\n"
        "from lt_lightning.backbones import SmallCNN\n"
        "class Ready(SmallCNN):\n"
        "    def __init__(self):\n"
        "        super().__init__(8)\n"
        "        with torch.random.fork_rng():\n"
        "            torch.manual_seed(0)\n"
        "            super().__init__(8)\n"
    )
    monkeypatch.syspath_prepend(str(here))
    cli.main(["probe", "--backbone=ready.Ready", "--data=DigitsLT", "--l2=0.1", *QUIET])
    record = results(here / "runs/probe/version_0")
    assert record["started_from"] is None
    assert record["selection"] == "none: the penalty was given"


@pytest.mark.parametrize("given", ["0.01,1,0.01,0.1", "[0.01, 1, 0.01, 0.1]"])
def test_several_penalties_are_chosen_among(arguments, here, given):
    cli.main([*arguments, f"--l2={given}"])
    record = results(here / "runs/probe/version_0")
    assert [tried["l2"] for tried in record["tried"]] == [1, 0.1, 0.01]
    assert record["selection"] == "val: the penalty"
    assert record["chosen_at_edge"] == {1: "largest", 0.1: None, 0.01: "smallest"}[record["l2"]]


def test_features_made_elsewhere_need_no_weights(here, monkeypatch):
    (here / "made.py").write_text(
        "import torch\n"
        "from lt_lightning.data import DigitsLT\n"
        "class Flat(DigitsLT):\n"
        "    def to_input(self, pixels, training, generator=None):\n"
        "        return super().to_input(pixels, training, generator).flatten(1)\n"
    )
    monkeypatch.syspath_prepend(str(here))
    cli.main(["probe", "--backbone=Identity", "--backbone.num_features=64", "--data=made.Flat", "--l2=0.1", *QUIET])
    assert results(here / "runs/probe/version_0")["backbone"] == "Identity"
    assert read_record(here / "runs/probe/version_0/probe.ckpt").input_shape == (64,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--l2=0"], "`l2` must be above 0, but got 0"),
        (["--l2=0.1,-1"], "`l2` must be above 0, but got -1"),
        (["--l2=much"], "`l2` must be `auto`, a number, or several such as 0.1,0.01, but got 'much'"),
        (["--l2=[]"], "`l2` must be `auto`, a number, or several such as 0.1,0.01, but got none"),
        (["--checkpoint=nowhere.pth"], "nowhere.pth"),
        (["--backbone.num_features=4"], "does not fit `backbone` SmallCNN"),
        (["--output=network.pth/below"], "`output` 'network.pth/below' cannot be written"),
        (["--checkpoint=null"], "`backbone` SmallCNN is untrained; give its weights with `--checkpoint`."),
        (
            ["--checkpoint=null", "--backbone=TorchvisionBackbone"],
            "`backbone` TorchvisionBackbone is untrained; give its weights with `--checkpoint` or "
            "`--backbone.weights`.",
        ),
    ],
)
def test_one_sentence_for_a_mistake(arguments, here, capsys, change, message):
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, *change])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (here / "runs").exists()


def test_class_counts_and_names_are_the_datas(probed):
    record, data = read_record(probed / "probe.ckpt"), DigitsLT()
    assert record.class_counts == data.class_counts
    assert record.class_names == list(map(str, data.class_names))
    assert record.input_shape == (1, 8, 8)


@pytest.mark.slow
def test_two_processes_leave_what_one_leaves(arguments, here):
    command.main(arguments)
    command_in_two_processes(command.main, arguments, here)
    assert sorted(path.name for path in (here / "runs/probe").iterdir()) == ["version_0", "version_1"]
    one, two = (results(here / f"runs/probe/version_{number}") for number in (0, 1))
    assert [record["environment"]["processes"] for record in (one, two)] == [1, 2]
    for split in ("val", "test"):
        assert one["evaluation"][split]["accuracy"] == two["evaluation"][split]["accuracy"]
        assert one["evaluation"][split]["per_class"]["total"] == two["evaluation"][split]["per_class"]["total"]
    first, second = (
        torch.load(here / f"runs/probe/version_{number}/probe.ckpt", weights_only=True)["state_dict"]
        for number in (0, 1)
    )
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_images_that_published_weights_are_not_used_to_are_said(here, monkeypatch):
    (here / "used.py").write_text(
        "from lt_lightning.backbones import SmallCNN\n"
        "class Used(SmallCNN):\n"
        "    published_transform = {'mean': (0.3053,), 'std': (0.5,)}\n"
    )
    monkeypatch.syspath_prepend(str(here))
    with pytest.warns(UserWarning, match=r"weights of `backbone` are used to: `data.std` \[0.376\] \(there \[0.5\]\)"):
        cli.main(["probe", "--backbone=used.Used", "--backbone.num_features=8", "--data=DigitsLT", "--l2=0.1", *QUIET])


def test_weights_that_a_backbone_reads_itself_are_unknown_in_the_record(here):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("test_resnet", num_classes=0, in_chans=1).state_dict(), here / "mine.pth")
    backbone = ["--backbone=TimmBackbone", "--backbone.name=test_resnet", "--backbone.in_channels=1"]
    options = "--backbone.options={checkpoint_path: mine.pth}"
    cli.main(["probe", *backbone, options, "--data=DigitsLT", "--l2=0.1", *QUIET])
    assert checkpoints.read(here / "runs/probe/version_0/probe.ckpt").past == [checkpoints.UNKNOWN]
