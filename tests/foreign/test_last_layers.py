"""The last linear layer of modules of all sorts."""

from collections import OrderedDict
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lt_lightning.errors import UsageError
from lt_lightning.foreign.last_layers import find_last_linear
from lt_lightning.foreign.layer_inputs import inputs_of
from lt_lightning.foreign.running import copied
from tests.foreign_networks import IMAGES, Cosine, Heads, Net


@pytest.mark.parametrize(
    "end",
    [
        None,
        lambda logits: {"logits": logits, "loss": torch.tensor(0.0)},
        lambda logits: (logits, logits.sum()),
        lambda logits: (torch.rand(4, 8), logits),
        lambda logits: {"prediction": logits, "shares": logits.softmax(dim=1)},
        lambda logits: logits.log_softmax(dim=1),
        lambda logits: logits.softmax(dim=1),
        lambda logits: logits.sigmoid(),
        lambda logits: logits / 10,
        lambda logits: 1e4 * logits,
        lambda logits: logits - logits.mean(dim=1, keepdim=True),
        lambda logits: (logits.bfloat16() / 3).softmax(dim=1).float(),
        lambda logits: logits.mul_(30),
        lambda logits: nn.functional.normalize(logits),
        lambda logits: SimpleNamespace(logits=logits),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_layer_that_makes_the_logits_is_found(end, dtype):
    torch.manual_seed(0)
    model, images = Net(end).to(dtype), IMAGES.to(dtype)
    assert find_last_linear(model, images) == "fc"
    assert find_last_linear(model, images, "fc") == "fc"
    assert not model.fc._forward_hooks


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_network_that_rounds_inside_is_known(dtype):
    class Rounding(Net):
        def forward(self, images):
            with torch.autocast("cpu", dtype):
                return super().forward(images).softmax(dim=1)

    torch.manual_seed(0)
    model = Rounding().eval()
    assert find_last_linear(model, IMAGES) == "fc"
    inputs_of(model, "fc", 3 * [(IMAGES, torch.arange(4))], "train_loader")


def test_equal_logits_and_infinite_ones_are_no_reason_to_refuse():
    model = Net(lambda logits: logits.log_softmax(dim=1))
    nn.init.zeros_(model.fc.weight)
    nn.init.zeros_(model.fc.bias)
    assert find_last_linear(model, IMAGES) == "fc"
    assert find_last_linear(Net(), torch.inf * IMAGES) == "fc"
    assert find_last_linear(Net(), IMAGES[:0]) == "fc"


@pytest.mark.parametrize(
    "end",
    [
        lambda logits: nn.functional.one_hot(logits.argmax(dim=1), 5).float(),
        lambda logits: nn.functional.one_hot(logits.argmax(dim=1), 5) - logits.detach() + logits,
        lambda logits: torch.full_like(logits, -torch.inf).scatter(1, logits.topk(2).indices, logits.topk(2).values),
        lambda logits: logits.argsort(dim=1).argsort(dim=1).float(),
        lambda logits: logits + 1e-6 * torch.rand_like(logits),
        lambda logits: (64 * logits).softmax(dim=1),
    ],
    ids=["hard", "straight through", "two best", "ranks", "noise", "saturated"],
)
def test_what_leaves_predictions_alone_is_not_refused(end):
    torch.manual_seed(0)
    model = Net(end).eval()
    assert find_last_linear(model, IMAGES) == "fc"
    with torch.device("meta"):  # wherever the caller makes tensors
        assert find_last_linear(model, IMAGES) == "fc"


PRIOR = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])


@pytest.mark.parametrize(
    "end",
    [
        lambda logits: -logits,
        lambda logits: logits + PRIOR,
        lambda logits: logits.add_(PRIOR),
        lambda logits: logits * PRIOR.exp(),
        lambda logits: logits.clamp(-1e-3, 1e-3),
        lambda logits: torch.cat([logits[:, :4], torch.full((len(logits), 1), -torch.inf)], dim=1),
        lambda logits: {"shares": logits, "logits": logits + PRIOR},
    ],
)
@pytest.mark.parametrize("count", [1, 4])
def test_what_changes_predictions_after_the_layer_is_refused(end, count):
    """The figures of a new layer would not be the model's."""
    torch.manual_seed(0)
    with pytest.raises(UsageError, match=r"`model` Net predicts other classes than its nn.Linear 'fc'; leave off what"):
        find_last_linear(Net(end), IMAGES[:count])
    with pytest.raises(
        UsageError, match=r"than its nn.Linear 'fc'; name another layer by `classifier`, leave off what"
    ):
        find_last_linear(Net(end), IMAGES[:count], "fc")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("classes", [2, 5, 1000])
def test_a_small_offset_or_factor_is_refused_too(dtype, classes):
    """It leaves the order of logits that are far from each other, and changes predictions where they are close."""
    torch.manual_seed(0)
    prior = torch.linspace(-1, 1, classes, dtype=dtype)
    for end in (
        lambda logits: logits + prior / 1024,
        lambda logits: 100 * logits - prior,
        lambda logits: logits * prior.exp(),
    ):
        model = nn.Sequential(OrderedDict(flat=nn.Flatten(), fc=nn.Linear(64, classes)))
        model.register_forward_hook(lambda _, __, logits, end=end: end(logits))
        with pytest.raises(UsageError, match=r"predicts other classes than its nn.Linear 'fc'; leave off what"):
            find_last_linear(model.to(dtype), IMAGES.to(dtype))


def test_a_second_path_around_the_layer_is_refused():
    class LowRank(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.down, self.up = nn.Linear(64, 5), nn.Linear(64, 2), nn.Linear(2, 5, bias=False)

        def forward(self, images):
            return self.base(images.flatten(1)) + self.up(self.down(images.flatten(1)))

    torch.manual_seed(0)
    model = LowRank()
    with torch.no_grad():
        model.up.weight.mul_(0.1)
    with pytest.raises(UsageError, match=r"predicts other classes than its nn.Linear 'base', 'up'; leave off what"):
        find_last_linear(model, IMAGES)
    nn.init.zeros_(model.up.weight)  # as before it is trained
    assert find_last_linear(model, IMAGES) == "base"


@pytest.mark.parametrize(
    "end",
    [
        lambda one, two, convolution: convolution,
        lambda one, two, convolution: {"aux": one, "logits": convolution},
        lambda one, two, convolution: (one + two) / 2,
        lambda one, two, convolution: one + convolution,
    ],
)
def test_heads_that_do_not_decide_alone_are_refused(end):
    torch.manual_seed(0)
    model = Heads(end)
    with pytest.raises(
        UsageError, match=r"`model` Heads predicts other classes than its nn.Linear 'one', 'two'; leave"
    ):
        find_last_linear(model, IMAGES)
    with pytest.raises(UsageError, match=r"predicts other classes than its nn.Linear 'one'; name another layer by"):
        find_last_linear(model, IMAGES, "one")


def test_a_head_that_agrees_with_the_deciding_one_on_all_images_is_told_from_it():
    model = Heads(lambda one, two, convolution: convolution)
    with torch.no_grad():
        model.convolution.weight.copy_(model.one.weight[:, :, None])
        model.convolution.bias.copy_(model.one.bias)
    with pytest.raises(UsageError, match=r"predicts other classes than its nn.Linear 'one', 'two'"):
        find_last_linear(model, IMAGES)
    model.end = lambda one, two, convolution: one
    model.two.load_state_dict(model.one.state_dict())
    assert find_last_linear(model, IMAGES) == "one"


def test_what_cannot_be_checked_is_said():
    for end in (lambda logits: SimpleNamespace(prediction=logits), lambda logits: logits.topk(2)):
        model = Net(end)
        with pytest.raises(UsageError, match=r"makes its logits in no nn.Linear .*, or name it by `classifier`"):
            find_last_linear(model, IMAGES)
        with pytest.warns(UserWarning, match="`classifier` 'fc' cannot be checked, as `model` Net returns no tensor"):
            assert find_last_linear(model, IMAGES, "fc") == "fc"


@pytest.mark.parametrize("width", [5, 8])
def test_the_layer_beside_whose_logits_features_are_returned_is_found(width):
    class WithFeatures(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.fc = nn.Linear(64, width), nn.Linear(width, 5)

        def forward(self, images):
            features = self.features(images.flatten(1)).relu()
            return self.fc(features), features

    torch.manual_seed(0)
    assert find_last_linear(WithFeatures(), IMAGES) == "fc"


@pytest.mark.parametrize("end", [lambda logits: logits.softmax(dim=1), torch.sigmoid, torch.tanh])
def test_logits_that_an_output_cannot_tell_apart_are_no_reason_to_refuse(end):
    torch.manual_seed(0)
    for factor in (1e-7, 1e-3):
        model = Net(end)
        with torch.no_grad():
            model.fc.weight.mul_(factor)
            model.fc.bias.zero_()
        assert find_last_linear(model.bfloat16(), IMAGES.bfloat16()) == "fc"


def test_usual_networks_are_known():
    images = torch.rand(2, 3, 32, 32)
    assert find_last_linear(torchvision.models.mobilenet_v3_small(num_classes=7), images) == "classifier.3"
    assert find_last_linear(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), IMAGES) == "1"
    assert find_last_linear(nn.Linear(3, 2), torch.rand(4, 3)) == ""
    normed = nn.Sequential(OrderedDict(flat=nn.Flatten(), fc=weight_norm(nn.Linear(64, 5))))
    assert find_last_linear(normed, IMAGES) == "fc"
    assert find_last_linear(nn.DataParallel(Net()), IMAGES) == "module.fc"
    assert find_last_linear(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), IMAGES) == "1"


def test_without_one_or_with_several_it_says_so():
    with pytest.raises(
        UsageError,
        match=r"`model` Sequential makes its logits in no nn.Linear, as it has none; .* or quantise it after",
    ):
        find_last_linear(nn.Sequential(nn.Flatten(), Cosine(64, 5)), IMAGES)
    with pytest.raises(UsageError, match=r"in no nn.Linear that gets one vector for each image \(it has '0'\)"):
        find_last_linear(nn.Sequential(nn.Linear(8, 5), nn.AdaptiveAvgPool2d((1, 5)), nn.Flatten()), IMAGES)
    both = Heads(lambda one, two, convolution: (one, two))
    with pytest.raises(UsageError, match=r"`model` Heads does not show .* its logits, and 'one', 'two' may; name the"):
        find_last_linear(both, IMAGES)
    assert [find_last_linear(both, IMAGES, name) for name in ("one", "two")] == ["one", "two"]
    with pytest.raises(UsageError, match=r"does not show .*, and 'one' may; name the one to retrain by `classifier`"):
        find_last_linear(Heads(lambda one, two, convolution: (convolution, one)), IMAGES)
    with pytest.raises(UsageError, match=r"`classifier` 'fc' is no part of the model; it has .*'one', 'two'"):
        find_last_linear(both, IMAGES, "fc")
    with pytest.raises(UsageError, match=r"`classifier` 'encoder' is a SmallCNN, no plain nn.Linear; it has"):
        find_last_linear(Net(), IMAGES, "encoder")


def test_an_output_of_other_columns_than_any_layer_has_is_said():
    message = (
        r"in no nn.Linear as wide as its output, of 4 columns \('projection' has 8, 'unused' has 5, 'fc' has 5\); "
    )
    with pytest.raises(UsageError, match=message):
        find_last_linear(Net(lambda logits: logits[:, :4]), IMAGES)


def test_lazy_layers_that_have_seen_no_image_are_refused():
    """Their weights are drawn as they are run, other ones in each copy."""
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 5))
    with pytest.raises(UsageError, match=r"`model` Sequential has parameters without values \('1.weight', '1.bias'\)"):
        find_last_linear(copied(model), IMAGES)
    model(IMAGES)
    model.unused = nn.Sequential(nn.LazyLinear(5))
    model.forward = lambda images: model[3](model[:3](images))
    assert find_last_linear(model, IMAGES) == "3"


@dataclass
class Output:
    logits: torch.Tensor


def test_outputs_may_be_objects():
    model = nn.Sequential(OrderedDict(fc=nn.Linear(6, 3)))
    model.register_forward_hook(lambda _, __, output: Output(output))
    assert find_last_linear(model, torch.ones(2, 6)) == "fc"
