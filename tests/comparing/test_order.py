"""A checkpoint whose classes stand in another order than the data's."""

import pytest
import torch

from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import Options
from lt_lightning.comparing.order import check_order
from lt_lightning.comparing.setup import Setup
from lt_lightning.features import Features


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
        rf"right about 0.0 % of the training images, .* about 100.0 % if '{names[0]}' meant '{names[1]}', .* and 7 more"
        rf"; name its classes in the order of its rows by `checkpoint_class_names`"
    )
    with pytest.warns(UserWarning, match=expected):
        check_order(setup, as_said(setup, lambda said: (said + 1) % 10))
    assert len(setup.warnings) == 1


def test_the_same_order_and_a_classifier_that_knows_nothing_are_no_reason(setup):
    check_order(setup, as_said(setup, lambda said: said))
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
        turned = run("tau_norm", checkpoint=tmp_path / "turned.pth")
    assert any("another order" in warning for warning in turned.warnings)
    in_order = run(
        "tau_norm",
        checkpoint=tmp_path / "turned.pth",
        checkpoint_class_names=make_data().class_names[::-1],
    )
    assert not any("another order" in warning for warning in in_order.warnings)
