"""Classes in another order, validation images that stage 1 has learnt, and classes without test images are said."""

import json
import re
import shlex
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from lt_lightning import checkpoints
from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import Options, compare
from lt_lightning.comparing.checks import check_chosen, check_favoured, check_memorised, check_order, check_validated
from lt_lightning.comparing.command import build_parser
from lt_lightning.comparing.evaluation import Predictions
from lt_lightning.comparing.leaderboard import leaderboard
from lt_lightning.comparing.methods import STAGE1
from lt_lightning.comparing.outcome import Row
from lt_lightning.comparing.selection import BY_PENALTY
from lt_lightning.comparing.setup import Setup
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, Features
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.modules import save_retrained


@pytest.fixture
def setup(foreign, make_data):
    return Setup(str(foreign), SmallCNN(8, in_channels=3), make_data(), "tau_norm", {}, Options(oracle=False))


def as_said(setup, classes):
    """Features of 400 images whose classes are what ``classes`` makes of the classes that stage 1 says."""
    layer = setup.source.classifier
    rows = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    return {"train": Features(rows.unsqueeze(0), classes((rows @ layer.weight.T + layer.bias).argmax(dim=1)))}


def test_another_order_is_said_with_what_to_do(setup):
    names = setup.data.class_names
    expected = (
        rf"right about 0.0 % of the training images \(0.0 %, mean over classes\), but would be about 100.0 % "
        rf"\(100.0 %\) if '{names[0]}' meant '{names[1]}', .* and 7 more"
        rf"; name its classes in the order of its rows by `checkpoint_class_names`"
    )
    with pytest.warns(UserWarning, match=expected):
        assert not check_order(setup, as_said(setup, lambda said: (said + 1) % 10))
    assert len(setup.warnings) == 1


def test_the_likeliest_order_is_ready_to_be_pasted(setup, monkeypatch):
    names = ["old oak", "fox's", *setup.data.class_names[2:]]
    monkeypatch.setattr(type(setup.data), "class_names", names)
    with pytest.warns(UserWarning, match="as far as training images tell, --checkpoint_class_names '"):
        check_order(setup, as_said(setup, lambda said: (said + 1) % 10))
    *_, option, given = shlex.split(setup.warnings[0].rpartition("tell, ")[2].removesuffix("."))
    config = build_parser().parse_args(
        ["--checkpoint=a.pth", "--backbone=SmallCNN", "--data=DigitsLT", f"{option}={given}"]
    )
    assert config.checkpoint_class_names == [*names[1:], names[0]]


def test_two_exchanged_classes_are_said_and_the_others_keep_their_places(setup):
    names = list(setup.data.class_names)
    said = as_said(setup, lambda said: said)["train"].targets
    one, other = said.bincount().argsort(descending=True)[:2].tolist()

    def exchange(said):
        return torch.where(said == one, other, torch.where(said == other, one, said))

    first, second = sorted((one, other))
    with pytest.warns(UserWarning, match=f"if '{names[first]}' meant '{names[second]}', '{names[second]}' meant '"):
        assert not check_order(setup, as_said(setup, exchange))
    names[one], names[other] = names[other], names[one]
    *_, given = shlex.split(setup.warnings[0].rpartition("tell, ")[2].removesuffix("."))
    assert json.loads(given) == names


def test_of_many_names_or_of_names_that_are_none_no_list_is_printed(setup, monkeypatch):
    for names, most in ((["one"] * 10, 100), (setup.data.class_names, 9)):
        monkeypatch.setattr(type(setup.data), "class_names", names)
        monkeypatch.setattr("lt_lightning.comparing.checks._MOST_NAMES", most)
        with pytest.warns(UserWarning, match=r"of its rows by `checkpoint_class_names`\.$"):
            check_order(setup, as_said(setup, lambda said: (said + 1) % 10))


def test_the_same_order_and_a_classifier_that_knows_nothing_are_no_reason(setup):
    assert check_order(setup, as_said(setup, lambda said: said))
    check_order(setup, as_said(setup, lambda said: torch.where(said > 5, 0, said)))
    shuffled = torch.randperm(400, generator=torch.Generator().manual_seed(1))
    check_order(setup, as_said(setup, lambda said: said[shuffled]))
    assert setup.warnings == []


@pytest.mark.filterwarnings("ignore:No method is better:UserWarning", "ignore:Stage 1 is no worse:UserWarning")
def test_a_comparison_records_it(run, foreign, tmp_path, make_data):
    """A network that names colours, with its rows turned round."""
    found = run("ncm")
    contents = torch.load(foreign, weights_only=True)
    layer = found.row("ncm").heads[0].head.to_linear()
    weights = {"fc.weight": layer.weight.detach().flip(0), "fc.bias": layer.bias.detach().flip(0)}
    torch.save({"state_dict": {**contents["state_dict"], **weights}}, tmp_path / "turned.pth")
    with pytest.warns(UserWarning, match="seem to stand in another order"):
        turned = run("tau_norm,ncm", checkpoint=tmp_path / "turned.pth")
    assert any("another order" in warning for warning in turned.warnings)
    assert turned.winner is None
    assert turned.why_no_winner == "the checkpoint's classes seem to stand in another order than the data's"
    names = make_data().class_names
    with pytest.warns(UserWarning, match="seem to stand in another order"):
        typed = run("tau_norm,ncm", checkpoint=tmp_path / "turned.pth", checkpoint_class_names=names)
    assert typed.why_no_winner != turned.why_no_winner  # whoever names the classes knows better
    in_order = run(
        "tau_norm,ncm",
        checkpoint=tmp_path / "turned.pth",
        checkpoint_class_names=make_data().class_names[::-1],
    )
    assert not any("another order" in warning for warning in in_order.warnings)
    assert in_order.why_no_winner != turned.why_no_winner


def of_one_class(path, foreign, label):
    """The same network, which calls every image one class."""
    contents = torch.load(foreign, weights_only=True)
    bias = torch.eye(10)[label]
    torch.save({"state_dict": {**contents["state_dict"], "fc.weight": torch.zeros(10, 8), "fc.bias": bias}}, path)
    return path


@pytest.mark.filterwarnings("ignore:No method is better")
def test_of_a_network_at_chance_nothing_is_handed_back_unless_names_say_the_order(run, foreign, make_data, tmp_path):
    path = of_one_class(tmp_path / "one.pth", foreign, 9)
    with pytest.warns(UserWarning, match=r"as by chance; .* the order of its classes \(`checkpoint_class_names`\) or"):
        found = run("ncm", checkpoint=path)
    assert found.winner is None
    assert found.why_no_winner == "stage 1 is right as by chance, and nothing names the checkpoint's classes"
    with pytest.warns(UserWarning, match="as by chance"):
        named = run("ncm", checkpoint=path, checkpoint_class_names=make_data().class_names)
    assert named.winner.name == "ncm"


def test_a_network_that_calls_every_image_the_largest_class_neglects_its_tail(run, foreign, tmp_path):
    path = of_one_class(tmp_path / "one.pth", foreign, 0)
    said = r"\(10.0 %\): it calls every image 'airplane', as networks do that neglect their tail\.$"
    with pytest.warns(UserWarning, match=said):
        found = run("ncm", checkpoint=path)
    assert found.winner.name == "ncm"


@pytest.mark.parametrize(
    ("selection", "allowed", "said"),
    [
        ("val: lort of compare", True, True),
        ("val: my search", True, True),
        ("val: lort of compare", False, False),
        ("unselected: lort of compare", True, False),
        (BY_PENALTY, True, False),
        (None, True, False),
    ],
)
def test_a_stage_1_that_validation_images_have_chosen_is_said(setup, selection, allowed, said):
    setup.source = replace(setup.source, selection=selection)
    setup.selection = replace(setup.selection, allowed=allowed)
    with pytest.warns(UserWarning, match="start from the file that it was made from") if said else nullcontext():
        check_chosen(setup)
    assert [f"chosen by validation images ({selection}): if they are" in one for one in setup.warnings] == [True] * said


@pytest.mark.filterwarnings("ignore:No method is better", "ignore:Stage 1 is no worse")
def test_a_second_comparison_on_what_the_first_handed_back_says_so(stage1, digits, tmp_path):
    data, backbone = digits(), SmallCNN(8)
    backbone.load_state_dict(checkpoints.match(checkpoints.read(stage1), backbone).tensors)
    save_retrained(
        tmp_path / "better.ckpt",
        str(stage1),
        backbone,
        LinearHead(8, data.class_counts),
        CrossEntropyLoss(data.class_counts),
        data,
        0,
        selection="val: linear of compare",
    )
    features = ExtractionOptions(progress=False, device="cpu")
    options = Options(oracle=False, views=1, draws=50, unseen=True, features=features)
    with pytest.warns(UserWarning, match=r"was itself chosen by validation images \(val: linear of compare\)"):
        compare(str(tmp_path / "better.ckpt"), SmallCNN(8), digits(), "tau_norm", None, options)


def features_of(rows, targets):
    return Features(rows.unsqueeze(0), targets)


def test_memorised_images_are_those_that_stage_1_knows_as_well(setup):
    layer = setup.source.classifier
    rows = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    said = (rows @ layer.weight.T + layer.bias).argmax(dim=1)
    wrong = (said + 1) % 10
    with pytest.warns(
        UserWarning, match=r"no worse on validation images \(100.0 %\) than on training images \(0.0 %\)"
    ):
        check_memorised(setup, {"val": features_of(rows, said), "train": features_of(rows, wrong)})
    assert len(setup.warnings) == 1
    check_memorised(setup, {"val": features_of(rows, wrong), "train": features_of(rows, said)})
    setup.selection = replace(setup.selection, allowed=False)  # there may be none then
    check_memorised(setup, {"train": features_of(rows, said)})
    assert len(setup.warnings) == 1


def test_where_nothing_is_selected_nothing_selects_the_wrong_method(setup):
    layer = setup.source.classifier
    rows = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    said = (rows @ layer.weight.T + layer.bias).argmax(dim=1)
    val, wrong = features_of(rows, said), features_of(rows, (said + 1) % 10)
    stage1 = Row(STAGE1, "none", None, [], [setup.stage1], val_correct=torch.ones(400, dtype=torch.float64))
    stage1.tests.append(Predictions(said, torch.ones(400), {}))
    features = {"val": val, "train": wrong, "test": wrong}
    for check, arguments in ((check_memorised, (features,)), (check_favoured, (stage1, features))):
        chosen = setup.selection
        setup.selection = replace(chosen, allowed=False)
        check(setup, *arguments)
        assert setup.warnings == []
        setup.selection = chosen
        with pytest.warns(UserWarning, match="then they select the wrong method"):
            check(setup, *arguments)
        setup.warnings.clear()


def test_memorised_is_judged_on_the_classes_that_validation_images_have(setup):
    layer = setup.source.classifier
    rows = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    said = (rows @ layer.weight.T + layer.bias).argmax(dim=1)
    known = said < 8
    learnt = torch.where(known, said, 17 - said)  # of two classes not an image is known
    val = features_of(rows[known], said[known])
    with pytest.warns(UserWarning, match=r"\(100.0 %\) than on training images \(100.0 %\)"):
        check_memorised(setup, {"val": val, "train": features_of(rows, learnt)})


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse", "ignore:No method is better", "ignore:.* classes have no")
@pytest.mark.filterwarnings("ignore:The checkpoint's classes seem")
def test_validation_images_that_stage_1_has_learnt_by_heart_are_said_after_the_test(run, foreign, make_data, tmp_path):
    """A made stage 1 that is right about every validation image; test images have got the classes of others."""
    data, weight = make_data(), torch.randn(10, 8, generator=torch.Generator().manual_seed(1))
    features = {name: found.values[0] for name, found in run("ncm", data=data).features.items()}
    bias = -weight @ features["val"].mean(dim=0)  # else it would name one class alone
    said = {name: (rows @ weight.T + bias).argmax(dim=1) for name, rows in features.items()}
    data.split("val").targets, data.split("test").targets = said["val"], (said["test"] + 1) % 10
    contents = torch.load(foreign, weights_only=True)
    weights = {"fc.weight": weight, "fc.bias": bias}
    torch.save({"state_dict": {**contents["state_dict"], **weights}}, tmp_path / "learnt.pth")
    with pytest.warns(UserWarning, match=r"clearly better on validation images \(100.0 %\) than on test images"):
        found = run("ncm", data=data, checkpoint=tmp_path / "learnt.pth", unseen=True)
    assert any("trained on the validation images or chosen by them" in warning for warning in found.warnings)
    assert not any("clearly better" in warning for warning in run("ncm").warnings)


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse", "ignore:No method is better")
def test_classes_without_test_images_are_named(run, make_data):
    data = make_data()
    images = data.split("test")
    images.targets = images.targets.clamp(max=7)
    with pytest.warns(UserWarning, match="classes have no test image"):
        found = run("tau_norm", data=data)
    assert "2 of 10 classes have no test image and are left out of the accuracies: ship, truck." in found.warnings
    heads = [column.header for column in leaderboard(found).columns]
    counts = data.class_counts[:8]
    many, few = sum(count > 5 for count in counts), sum(count < 3 for count in counts)
    assert heads[1:5] == ["all\n8", f"many >5\n{many}", f"medium\n{8 - many - few}", f"few <3\n{few}"]


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse", "ignore:No method is better")
def test_classes_without_validation_images_are_named(run, make_data):
    """Else the winner may be whatever gives most images to the classes that have some."""
    data = make_data(val_from="pool")
    images = data.split("val")
    images.targets = images.targets.clamp(max=7)
    with pytest.warns(UserWarning, match="classes have no validation image"):
        found = run("tau_norm", data=data, unseen=True)
    expected = "2 of 10 classes have no validation image, so .* chosen without regard to them: ship, truck; add images"
    assert any(re.match(expected, warning) for warning in found.warnings)


@pytest.mark.parametrize(("few", "said"), [(4, False), (5, True)])
def test_few_validation_images_of_half_of_the_classes_are_said(foreign, make_data, few, said):
    """Of the ten classes one has no image: that is another matter."""
    data = make_data(val_from="pool", val_per_class=6)
    images = data.split("val")
    sizes = [4] * few + [6] * (8 - few) + [12 + 2 * few]
    images.targets = torch.repeat_interleave(torch.arange(9), torch.tensor(sizes))
    options = Options(oracle=False, unseen=True)
    setup = Setup(str(foreign), SmallCNN(8, in_channels=3), data, "tau_norm", {}, options)
    with pytest.warns(UserWarning, match="1 of 10 classes have no validation image"):
        check_validated(setup)
    expected = f"{few} of 9 classes with validation images have fewer than 5 of them, 60 images in all, so the choice"
    assert any(warning.startswith(expected) for warning in setup.warnings) == said


def test_without_a_selection_few_validation_images_choose_nothing(foreign, make_data):
    arguments = (str(foreign), SmallCNN(8, in_channels=3), make_data(val_from="pool"), "tau_norm", {})
    setup = Setup(*arguments, Options(oracle=False))
    check_validated(setup)
    assert setup.warnings == []


def test_test_images_of_no_known_class_judge_nothing(run, make_data, monkeypatch):
    monkeypatch.setattr("lt_lightning.comparing.comparison.extract_all", lambda _: pytest.fail("too late"))
    data = make_data()
    data.split("test").targets[3] = -1
    with pytest.raises(UsageError, match="`CIFAR10LT` has test images of which no class is known, 1 in all"):
        run("tau_norm", data=data)
