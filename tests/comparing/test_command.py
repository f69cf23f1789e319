"""``lt-lightning compare`` from end to end."""

import json
import shutil
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from lt_lightning import cli
from lt_lightning.backbones import ResNet20
from lt_lightning.comparing import Options, command
from lt_lightning.data import CIFAR10LT
from lt_lightning.errors import UsageError
from tests.two_processes import command_in_two_processes

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)


@pytest.fixture
def arguments(foreign, coloured_root, here):
    return [
        "compare",
        f"--checkpoint={foreign}",
        "--backbone=SmallCNN",
        "--backbone.num_features=8",
        "--backbone.in_channels=3",
        "--data=CIFAR10LT",
        f"--data.root={coloured_root}",
        "--data.imbalance_ratio=4",
        "--data.max_count=8",
        "--data.val_per_class=4",
        "--data.group_thresholds=[3,5]",
        "--views=1",
        "--draws=50",
        "--features.progress=false",
        "--features.device=cpu",
        "--output=better",
    ]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_a_task_of_a_job_that_nobody_joins_to_others_writes_what_it_finds(arguments, here, capsys, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as `srun` numbers tasks
    cli.main([*arguments, "--methods=tau_norm", "--oracle=false"])
    assert "written to better/version_0/results.json" in capsys.readouterr().out
    assert results(here / "better/version_0")["environment"]["processes"] == 1


class Shaded(CIFAR10LT):
    """Has an argument that may be null, and is not by default."""

    def __init__(self, shade: int | None = 3, **options: Any) -> None:
        super().__init__(**options)
        self.shade = shade


def test_a_null_is_kept_or_refused(arguments, here):
    own = [argument.replace("=CIFAR10LT", f"={__name__}.Shaded") for argument in arguments]
    command.main([*own, "--data.shade=null", "--methods=tau_norm", "--oracle=false"])
    config = here / "better/version_0/config.yaml"
    assert yaml.safe_load(config.read_text())["data"]["init_args"]["shade"] is None
    command.main(["compare", "-c", str(config)])
    assert results(here / "better/version_1")["data"] == results(here / "better/version_0")["data"]
    with pytest.raises(UsageError, match=r"^`data\.batch_size` is null, which it cannot be; give a value"):
        command.main([*arguments, "--data.batch_size=null"])


def test_a_name_that_leaves_no_room_for_that_of_the_better_file_is_refused_first(arguments, here, foreign):
    for length in (244, 245):
        shutil.copy(foreign, here / f"{'n' * length}.pth")
    given = [argument for argument in arguments if not argument.startswith("--checkpoint")]
    with pytest.raises(UsageError, match=r"^`checkpoint` 'n*\.pth' has a name of 249 bytes, .* of at most 248\.$"):
        command.main([*given, f"--checkpoint={'n' * 245}.pth", "--methods=tau_norm"])
    command.main([*given, f"--checkpoint={'n' * 244}.pth", "--methods=linear", "--grid.lr=1e-3,0.1,1"])
    assert (here / "better/version_0" / f"better_{'n' * 244}.pth").exists()


def test_without_a_backbone_those_that_fit_the_file_are_named(here, capsys):
    model = nn.Module()
    model.backbone, model.fc = ResNet20(), nn.Linear(64, 10)
    torch.save({"state_dict": model.state_dict()}, "model.pth")
    with pytest.raises(SystemExit):
        cli.main(["compare", "--checkpoint=model.pth", "--data=DigitsLT"])
    said = "`--backbone` must be given, because 'model.pth' does not name its network; its weights fit ResNet20."
    assert said in capsys.readouterr().err
    torch.save({"state_dict": nn.Linear(2, 2).state_dict()}, "model.pth")
    with pytest.raises(SystemExit):
        cli.main(["compare", "--checkpoint=model.pth", "--data=DigitsLT"])
    assert "its network; no built-in one fits its weights." in capsys.readouterr().err


def test_table_and_files(arguments, here, capsys):
    options = ["--methods=linear,lort,tau_norm,ncm", "--grid.lr", "1e-3,1e-2", "--grid.delta=0.9", "--seeds=0,1"]
    options.append("--grid.metric=euclidean")  # the other one has no linear form
    cli.main([*arguments, *options, "--test_priors=true"])
    shown = capsys.readouterr().out
    assert "mean ± standard deviation of 2 seeds" in shown
    assert "★" in shown
    assert "oracle" in shown
    assert "backward" in shown
    assert "written to better/version_0/results.json" in shown

    record = results(here / "better/version_0")
    assert record["protocol"]["selection"] == "val"
    assert (record["protocol"]["views"], record["protocol"]["bn_mode"]) == (1, "eval")
    assert record["grid"] == {"lr": [1e-3, 1e-2], "delta": [0.9], "metric": ["euclidean"]}
    assert set(record["data"]["hashes"]) == {"train", "val", "test"}
    assert list(record["rows"]) == ["stage 1", "linear", "lort", "tau_norm", "ncm", "oracle"]
    lort = record["rows"]["lort"]
    assert [point["point"] for point in lort["validation"]] == [{"lr": 1e-3, "delta": 0.9}, {"lr": 1e-2, "delta": 0.9}]
    assert lort["chosen"] in [point["point"] for point in lort["validation"]]
    assert [run["seed"] for run in lort["seeds"]] == [0, 1]
    assert lort["mean"]["all"] == pytest.approx(sum(run["accuracy"]["all"] for run in lort["seeds"]) / 2)
    assert lort["test_priors"]["uniform"] == pytest.approx(lort["mean"]["all"])
    assert lort["to_stage1"]["low"] <= lort["to_stage1"]["high"]

    with np.load(here / "better/version_0/predictions.npz") as predictions:
        right = predictions["lort.classes"][0] == predictions["targets"]
        assert right.mean() == pytest.approx(lort["seeds"][0]["accuracy"]["micro"])
        assert predictions["lort.confidence"].shape == (2, 80)
    assert sorted(path.name for path in (here / "better/version_0").iterdir()) == [
        *(["better.ckpt", "better_model.pth"] if record["winner"] else []),
        "config.yaml",
        "predictions.npz",
        "results.json",
    ]


def test_its_own_configuration_gives_the_same_figures_in_another_folder(arguments, here):
    cli.main([*arguments, "--methods=lort", "--oracle=false", "--grid.lr=0.01"])
    cli.main(["compare", "-c", "better/version_0/config.yaml"])
    first, second = (results(here / f"better/version_{number}") for number in (0, 1))
    for row in first["rows"].values():
        assert row.pop("mean") is not None
    assert first["rows"]["lort"]["validation"] == second["rows"]["lort"]["validation"]
    assert first["rows"]["lort"]["to_stage1"] == second["rows"]["lort"]["to_stage1"]


def test_an_interrupted_run_leaves_nothing(arguments, here, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "compare", stop)
    with pytest.raises(UsageError, match=r"^Interrupted: nothing is kept; with a folder as `features.cache`"):
        command.main([*arguments, "--methods=lort"])
    with pytest.raises(UsageError, match=r"^Interrupted: what has been extracted is in `features.cache` 'kept'"):
        command.main([*arguments, "--methods=lort", "--features.cache=kept"])
    assert not (here / "better").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--methods=lrot"], "`methods` names 'lrot'"),
        (["--grid.detla=1"], r"`grid.detla` is not a setting of `lort`"),
        (["--seeds=a,b"], "`seeds` must be numbers, such as 0,1,2"),
        (["--views=some"], "views"),
        (["--checkpoint=nowhere.pth"], "nowhere.pth"),
        (["--backbone=SmallCNN", "--backbone.num_features=4"], "does not fit `backbone` SmallCNN"),
        (["--features.device=foo"], "`features.device` must be `auto` or a device of this machine, cpu"),
        (["--checkpoint_class_names=birch,cedar"], "the data's: 'birch', 'cedar' only in"),
        (["--checkpoint_class_names=[yes, 12]"], "the data's: 'yes', '12' only in"),
        (["--output=file/below"], "`output` 'file/below' cannot be written"),
        (["--data.batch=3"], "batch"),
    ],
)
def test_one_sentence_for_a_mistake(arguments, here, capsys, more, message):
    (here / "file").touch()
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "--methods=lort", *more])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (here / "better").exists()


def test_a_pool_is_needed_for_an_oracle(foreign, folder_root):
    options = [f"--checkpoint={foreign}", "--backbone=SmallCNN", "--data=ImageFolderLT", f"--data.root={folder_root}"]
    with pytest.raises(UsageError, match=r"`oracle` needs a balanced pool .* `ImageFolderLT` has none"):
        command.main(["compare", *options, "--methods=tau_norm", "--oracle=true"])


@pytest.mark.slow
def test_two_processes_give_what_one_gives(arguments, here):
    line = [*arguments, "--methods=lort,focal", "--oracle=false", "--views=2"]
    command.main(line)
    command_in_two_processes(command.main, line, here)
    assert sorted(path.name for path in (here / "better").iterdir()) == ["version_0", "version_1"]
    one, two = (_without_times(results(here / f"better/version_{number}")) for number in (0, 1))
    assert one == two
    first, second = (np.load(here / f"better/version_{number}/predictions.npz") for number in (0, 1))
    assert first.files == second.files
    for name in first.files:
        assert np.array_equal(first[name], second[name])


def _without_times(record):
    """A record without what no two runs have in common."""
    if isinstance(record, dict):
        aside = ("seconds", "written", "environment", "command")
        return {key: _without_times(value) for key, value in record.items() if key not in aside}
    return [_without_times(value) for value in record] if isinstance(record, list) else record


def test_the_backbone_of_our_own_checkpoint_need_not_be_typed(stage1, here):
    options = ["--data=DigitsLT", "--views=1", "--draws=50", "--features.progress=false", "--features.device=cpu"]
    start = ["compare", f"--checkpoint={stage1}", *options, "--methods=tau_norm"]
    cli.main(start)
    cli.main([*start, "--backbone=SmallCNN", "--backbone.num_features=8"])
    first, second = (results(here / f"runs/compare/version_{number}") for number in (0, 1))
    assert first["rows"]["tau_norm"]["mean"] == second["rows"]["tau_norm"]["mean"]
    assert "SmallCNN" in (here / "runs/compare/version_0/config.yaml").read_text()


def prepared(folder):
    found = yaml.safe_load((folder / "config.yaml").read_text())["data"]["init_args"]
    return found["image_size"], found.get("resize"), found["mean"]


@pytest.mark.filterwarnings("ignore:.* of 3 classes have no validation image", "ignore:Nothing is selected")
def test_images_are_prepared_as_our_own_checkpoints_but_for_what_is_typed(here, tiny, folder_root):
    of_data = ["--data=ImageFolderLT", f"--data.root={folder_root}", "--data.num_workers=0"]
    sizes = ("--data.image_size=16", "--data.resize=18", "--data.mean=[0.1,0.2,0.3]", "--trainer.max_epochs=1")
    trained = [word for word in tiny("fit", "RepresentationModule", *sizes) if word != "--data=DigitsLT"]
    cli.main([trained[0], *of_data, *trained[1:], "--model.backbone.in_channels=3"])
    (checkpoint,) = here.rglob("last.ckpt")
    options = ["--methods=tau_norm", "--views=1", "--draws=50", "--features.progress=false", "--features.device=cpu"]
    line = ["compare", f"--checkpoint={checkpoint}", *of_data, *options]
    command.main([*line, "--output=same"])
    assert prepared(here / "same/version_0") == (16, 18, [0.1, 0.2, 0.3])
    with pytest.warns(UserWarning, match=r"otherwise than those of `checkpoint` .*: `data.image_size` 14 \(there 16\)"):
        command.main([*line, "--output=other", "--data.image_size=14"])
    assert prepared(here / "other/version_0") == (14, None, [0.1, 0.2, 0.3])


def test_no_published_weights_are_fetched_where_the_checkpoint_has_them_all(arguments, here, monkeypatch):
    from lt_lightning.backbones.base import loads_published_weights

    asked = []
    (here / "asking.py").write_text(
        "from lt_lightning.backbones import SmallCNN\n"
        "class Asking(SmallCNN):\n"
        "    def __init__(self, num_features: int = 8, in_channels: int = 3):\n"
        "        super().__init__(num_features, in_channels)\n"
        "        self.asked()\n"
    )
    monkeypatch.syspath_prepend(str(here))
    import asking

    monkeypatch.setattr(asking.Asking, "asked", lambda self: asked.append(loads_published_weights()), raising=False)
    typed = [word for word in arguments if not word.startswith("--backbone")]
    cli.main([*typed, "--backbone=asking.Asking", "--methods=tau_norm", "--oracle=false"])
    assert asked[0] is False
    cli.main([*typed, "--backbone=asking.Asking", "--methods=tau_norm", "--oracle=false", "--allow_partial=true"])
    assert True in asked


def test_a_reader_that_has_gone_costs_no_results(arguments, here, monkeypatch):
    def gone(*_):
        raise SystemExit(1)  # as Rich ends where a pipe is broken

    monkeypatch.setattr(command, "_print", gone)
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--methods=tau_norm"])
    assert (here / "better/version_0/results.json").is_file()


def test_options_are_those_of_python():
    config = command.build_parser().parse_args(["--checkpoint=a.pth", "--backbone=SmallCNN", "--data=DigitsLT"])
    for option in fields(Options):
        if option.name not in ("seeds", "features"):
            assert config[option.name] == option.default


@pytest.mark.parametrize("typed", ["old oak, fox", '["old oak", "fox"]', "[old oak, fox]"])
def test_names_of_classes_may_have_commas_between_them(typed):
    given = ["--checkpoint=a.pth", "--backbone=SmallCNN", "--data=DigitsLT", f"--checkpoint_class_names={typed}"]
    config = command.build_parser().parse_args(given)
    assert command._names(config.checkpoint_class_names) == ["old oak", "fox"]
