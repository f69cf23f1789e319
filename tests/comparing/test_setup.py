"""What is known before any image passes through a network."""

import pytest
import torch

from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import Options
from lt_lightning.comparing.settings import Settings
from lt_lightning.comparing.setup import Setup
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError


@pytest.fixture
def setup(foreign, make_data):
    def make(methods="crt,tau_norm", data=None, **options):
        return Setup(str(foreign), SmallCNN(8, in_channels=3), data or make_data(), methods, {}, Options(**options))

    return make


@pytest.mark.parametrize(("views", "expected"), [("published", 10), ("all", "all"), (3, 3)])
def test_views_are_as_many_as_the_longest_method_has_epochs(setup, views, expected):
    assert setup(views=views).views == expected
    assert setup("tau_norm").views == 1


def test_batch_size_reaches_every_method(setup):
    assert {point.method.plain["batch_size"] for point in setup(batch_size=7).every_point} == {7}


def test_what_data_say_of_their_classes_is_asked_before_methods_are_made(setup):
    class Method(DigitsLT):
        def class_counts(self):
            return [10] * 10

    with pytest.raises(UsageError, match=r"^`class_counts` of `Method` is a method; put `@property` before it"):
        setup(data=Method())


@pytest.mark.parametrize("name", ["oracle", "stage 1"])
def test_a_row_that_is_no_methods_keeps_its_name(setup, tmp_path, name):
    path = tmp_path / f"{name}.yaml"
    path.write_text("loss: CrossEntropyLoss\n")
    with pytest.raises(UsageError, match=f"`methods` names .* in files, as the row '{name}' of every comparison is"):
        setup(["lort", str(path)])


def test_what_is_trained_once_more(setup, make_data):
    assert setup().whole is None
    held_out = make_data(val_from="train")
    assert setup(data=held_out, unseen=True).whole.class_counts == make_data(val_from="none").class_counts
    unselected = setup(data=held_out)
    assert unselected.whole is None
    assert unselected.counts == unselected.data.class_counts == make_data(val_from="none").class_counts


@pytest.mark.parametrize(
    ("grid", "said"), [({"lr": [0.1, -1.0]}, "lr` -1.0"), ({"momentum": [-0.5]}, "momentum` -0.5")]
)
def test_what_the_optimizer_refuses_is_said_before_features_are_made(foreign, make_data, grid, said):
    sentence = rf"^`methods` lort with `grid\.{said}: The optimizer or its schedule refuses its settings \(Invalid "
    with pytest.raises(UsageError, match=sentence):
        Setup(str(foreign), SmallCNN(8, in_channels=3), make_data(), "tau_norm,lort", grid, Options())


def test_one_head_of_each_method_is_made_at_full_size(setup, monkeypatch):
    made = []
    parts = Settings.parts
    monkeypatch.setattr(
        Settings, "parts", lambda self, length, counts: made.append(length) or parts(self, length, counts)
    )
    setup("crt,tau_norm")
    assert sorted(made) == [1] * 16 + [8] * 2


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        (
            "class_path: lightning.pytorch.cli.ReduceLROnPlateau, init_args: {monitor: val/all}",
            "^`methods` mine: `lr_scheduler` ReduceLROnPlateau goes by validation figures",
        ),
        (
            "class_path: torch.optim.lr_scheduler.OneCycleLR, init_args: {max_lr: 0.1, total_steps: 10}",
            "`lr_scheduler` OneCycleLR is 10 steps long, .*give `total_steps` 20",
        ),
    ],
)
def test_a_schedule_that_cannot_serve_is_refused(setup, tmp_path, schedule, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(f"lr_scheduler: {{{schedule}}}\n")
    with pytest.raises(UsageError, match=sentence):
        setup([str(path)])


def test_a_backbone_that_does_not_fit_is_named_as_it_is_here(foreign, make_data):
    with pytest.raises(UsageError, match=r"^`checkpoint` '.*' does not fit `backbone` SmallCNN \("):
        Setup(str(foreign), SmallCNN(4, in_channels=3), make_data(), "lort", {}, Options())


def test_a_backbone_says_how_long_its_features_are(foreign, make_data):
    backbone = SmallCNN(8, in_channels=3)
    del backbone.num_features
    with pytest.raises(UsageError, match=r"`model.backbone` SmallCNN must set `num_features`"):
        Setup(str(foreign), backbone, make_data(), "tau_norm", {}, Options())


def test_a_part_of_the_backbone_is_enough_where_that_is_allowed(foreign, make_data, tmp_path):
    state = torch.load(foreign, weights_only=True)["state_dict"]
    del state["backbone.layers.0.weight"]
    torch.save(state, tmp_path / "part.pth")
    given = (str(tmp_path / "part.pth"), SmallCNN(8, in_channels=3), make_data(), "tau_norm", {})
    with pytest.raises(UsageError, match=r"1 missing: 'layers\.0\.weight'"):
        Setup(*given, Options())
    assert torch.equal(Setup(*given, Options(allow_partial=True)).source.classifier.weight, state["fc.weight"])
