"""What goes into a layer over batches."""

import pytest
import torch
from torch import nn

from lt_lightning.errors import UsageError
from lt_lightning.foreign.last_layers import find_last_linear
from lt_lightning.foreign.layer_inputs import images_and_classes, inputs_of
from tests.foreign_networks import IMAGES, Net


def test_predictions_that_leave_the_layer_on_a_later_batch_are_refused():
    torch.manual_seed(0)
    model = Net(lambda logits: logits if len(logits) == 4 else -logits).eval()
    assert find_last_linear(model, IMAGES) == "fc"
    batches = [(IMAGES, torch.arange(4)), (IMAGES[:3], torch.arange(3))]
    message = (
        r"`model` Net predicts other classes than its nn.Linear 'fc' for 3 of 3 images in a batch of `val_loader`,"
    )
    with pytest.raises(UsageError, match=message):
        inputs_of(model, "fc", batches, "val_loader")
    model.end = lambda logits: logits.mul_(30).softmax(dim=1).bfloat16()
    inputs_of(model, "fc", batches, "val_loader")


def test_what_goes_in_is_what_evaluation_sees():
    model = Net().eval()
    batches = [(IMAGES, torch.tensor([0, 1, 2, 3])), (IMAGES[:1], torch.tensor([4]))]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    features, targets = inputs_of(model, "fc", batches, "train_loader")
    assert targets.tolist() == [0, 1, 2, 3, 4]
    assert not features.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.fc._forward_pre_hooks
    with torch.no_grad():
        torch.testing.assert_close(model.fc(features[:4]), model(IMAGES))
    half = nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).bfloat16()
    features, _ = inputs_of(half, "1", [(IMAGES.bfloat16(), torch.arange(4))], "train_loader")
    assert features.dtype == torch.float32


def test_layers_that_get_no_vector_per_image_are_refused():
    with pytest.raises(
        UsageError, match=r"'0' must be given one feature vector for each image, but for 4 .* \(4, 1, 8"
    ):
        inputs_of(nn.Sequential(nn.Linear(8, 5)), "0", [(IMAGES, torch.arange(4))], "train_loader")
    with pytest.raises(UsageError, match="but for 4 images it was given nothing"):
        inputs_of(Net(), "unused", [(IMAGES, torch.arange(4))], "train_loader")
    with pytest.raises(UsageError, match="`val_loader` has no images in its batches"):
        inputs_of(Net(), "fc", [(IMAGES[:0], torch.arange(0))], "val_loader")
    with pytest.raises(UsageError, match="`val_loader` has no batches"):
        inputs_of(Net(), "fc", [], "val_loader")


@pytest.mark.parametrize(
    ("batch", "what"),
    [
        ({"image": IMAGES, "label": torch.arange(4)}, "a dictionary with 'image', 'label'"),
        ((IMAGES, torch.rand(4, 5)), r"a tuple of Tensor \(4, 1, 8, 8\), Tensor \(4, 5\)"),
        ((IMAGES, torch.rand(4)), r"a tuple of Tensor \(4, 1, 8, 8\), Tensor \(4,\)"),
        ([IMAGES, torch.arange(3)], r"a list of Tensor \(4, 1, 8, 8\), Tensor \(3,\)"),
        ([IMAGES], r"a list of Tensor \(4, 1, 8, 8\)"),
        (IMAGES, "a Tensor"),
    ],
)
def test_other_batches_are_refused(batch, what):
    message = rf"`val_loader` must give batches \(images, targets\): .*, but gave {what}; give a list of such pairs"
    with pytest.raises(UsageError, match=message):
        images_and_classes(batch, "val_loader")
