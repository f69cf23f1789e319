"""Another layer in the place of one."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from lt_lightning.errors import UsageError
from lt_lightning.foreign.last_layers import find_last_linear
from lt_lightning.foreign.layer_inputs import inputs_of
from lt_lightning.foreign.replacing import bias_of, with_last_linear
from tests.foreign_networks import IMAGES, Net


@pytest.mark.parametrize(("old", "new", "there"), [(True, False, True), (False, True, True), (False, False, False)])
def test_a_copy_gets_the_layer(old, new, there):
    model, layer = Net(), nn.Linear(8, 5, bias=new)
    model.fc = nn.Linear(8, 5, bias=old).requires_grad_(False)
    model.alias = model.fc
    model.double().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copy = with_last_linear(model, "fc", layer, IMAGES.double())
    assert copy.fc is copy.alias is not model.fc
    assert copy.fc.weight.dtype == torch.float64
    torch.testing.assert_close(copy.fc.weight, layer.weight.double())
    bias = bias_of(copy.fc)
    assert (bias is not None) == there
    if there:
        torch.testing.assert_close(bias, layer.bias.detach().double() if new else torch.zeros(5).double())
    assert not any(parameter.requires_grad for parameter in copy.fc.parameters())
    assert copy.fc.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    copy.fc.weight.zero_()
    assert layer.weight.any()
    assert torch.equal(copy.projection.weight, model.projection.weight)


def test_hooks_stay_with_the_layer():
    """What goes into the layer has passed them, so a layer without them would be given something else."""
    model, layer = Net().eval(), nn.Linear(8, 5)
    model.fc.register_forward_pre_hook(lambda _, args: (nn.functional.normalize(args[0]),))
    model.fc.register_forward_hook(lambda _, __, output: output - 1)
    assert find_last_linear(model, IMAGES) == "fc"
    features, _ = inputs_of(model, "fc", [(IMAGES, torch.arange(4))], "train_loader")
    torch.testing.assert_close(features.norm(dim=1), torch.ones(4))
    copy = with_last_linear(model, "fc", layer, IMAGES)
    with torch.no_grad():
        torch.testing.assert_close(copy(IMAGES), layer(features) - 1)
    model.fc.register_forward_hook(lambda _, __, output: -output)
    with pytest.raises(UsageError, match=r"predicts other classes than its nn.Linear 'fc'"):
        find_last_linear(model, IMAGES)


@pytest.mark.parametrize("change", [weight_norm, lambda layer: prune.random_unstructured(layer, "weight", 0.5)])
def test_what_computed_the_old_weight_goes(change):
    model, layer = Net(), nn.Linear(8, 5)
    change(model.fc)
    model(IMAGES)
    copy = with_last_linear(model, "fc", layer, IMAGES)
    copy(IMAGES)
    torch.testing.assert_close(copy.fc.state_dict(), layer.state_dict())


def test_a_module_that_is_the_layer():
    layer = nn.Linear(3, 2)
    torch.testing.assert_close(with_last_linear(nn.Linear(3, 2), "", layer, torch.rand(4, 3)).weight, layer.weight)


class Tied(nn.Module):
    """A network that holds its classifier's tensors a second time."""

    def __init__(self):
        super().__init__()
        self.encoder, self.fc = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8)), nn.Linear(8, 5)
        self.prototypes, self.average = nn.Embedding(5, 8), nn.Linear(8, 5)
        self.prototypes.weight = self.average.weight = self.fc.weight
        self.average.bias = self.fc.bias

    def forward(self, images):
        return self.fc(self.encoder(images))


@pytest.mark.parametrize("bias", [True, False])
def test_what_shares_the_old_tensors_shares_the_new_ones(bias):
    """A state dict has them under each name, and the last one that is loaded stays."""
    model, layer = Tied(), nn.Linear(8, 5, bias=bias)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copy = with_last_linear(model, "fc", layer, IMAGES)
    assert copy.prototypes.weight is copy.average.weight is copy.fc.weight
    assert copy.average.bias is copy.fc.bias
    torch.testing.assert_close(copy.fc.weight, layer.weight)
    fresh = Tied()
    fresh.load_state_dict(copy.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(fresh.eval()(IMAGES), copy.eval()(IMAGES))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training


def test_what_is_drawn_in_evaluation_breaks_no_tie():
    class Drawing(Tied):
        def forward(self, images):
            return self.fc(nn.functional.dropout(self.encoder(images), 0.1, training=True))

    model, layer = Drawing(), nn.Linear(8, 5)
    state = torch.get_rng_state()
    copy = with_last_linear(model, "fc", layer, IMAGES)
    assert copy.prototypes.weight is copy.fc.weight
    assert torch.equal(torch.get_rng_state(), state)


def test_tensors_that_also_make_the_features_stay_as_they_are_there():
    class Folding(Tied):
        def forward(self, images):
            return self.fc(self.encoder(images) @ self.prototypes.weight.t() @ self.prototypes.weight)

    model, layer = Folding(), nn.Linear(8, 5)
    with pytest.warns(
        UserWarning, match="`model` Folding shares tensors of its nn.Linear 'fc' with 'prototypes.weight'"
    ):
        copy = with_last_linear(model, "fc", layer, IMAGES)
    torch.testing.assert_close(copy.fc.weight, layer.weight)
    torch.testing.assert_close(copy.prototypes.weight, model.fc.weight)
