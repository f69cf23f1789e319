import pytest
import torch
from torch import nn

from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, Head, LinearHead, LWSHead, TauNormHead
from lt_lightning.metrics import weight_cosines, weight_norms
from lt_lightning.modules.evaluation import Evaluation

WEIGHT = torch.tensor([[3.0, 4.0], [0.0, 2.0]])


def test_of_a_plain_classifier() -> None:
    head = LinearHead(2, [5, 3])
    head.init_from(WEIGHT, None)
    norms = weight_norms(head)
    assert norms.tolist() == [5.0, 2.0]
    assert not norms.requires_grad


def test_of_what_acts_on_features() -> None:
    tau_norm, lws = TauNormHead(2, [5, 3], tau=1.0), LWSHead(2, [5, 3])
    tau_norm.init_from(WEIGHT, None)
    lws.init_from(WEIGHT, None)
    with torch.no_grad():
        lws.scales.copy_(torch.tensor([1.0, 10.0]))
    torch.testing.assert_close(weight_norms(tau_norm), torch.ones(2))
    assert weight_norms(lws).tolist() == [5.0, 20.0]


def test_own_weight_where_there_is_no_linear_layer() -> None:
    head = CosineHead(2, [5, 3])
    head.init_from(WEIGHT, None)
    assert weight_norms(head).tolist() == [5.0, 2.0]
    assert weight_norms(OfNoLayer(2, [5, 3])).tolist() == [5.0, 2.0]
    assert weight_norms(nn.Linear(2, 3)).shape == (3,)


def test_a_head_without_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="`head` Identity has no weight per class"):
        weight_norms(nn.Identity())


def test_cosines_of_what_acts_on_features() -> None:
    head = TauNormHead(2, [5, 3, 2], tau=1.0)
    head.init_from(torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]), None)
    found = weight_cosines(head)
    torch.testing.assert_close(found["mean"], torch.tensor([-0.5, 0.0, -0.5]))
    torch.testing.assert_close(found["max"], torch.zeros(3))
    assert not found["max"].requires_grad


def test_one_class_has_no_angle() -> None:
    with pytest.raises(UsageError, match="`head` Linear must have at least 2 classes, but has 1"):
        weight_cosines(nn.Linear(3, 1))
    with pytest.raises(UsageError, match="`head` Identity has no weight per class"):
        weight_cosines(nn.Identity())


class Halved(LinearHead):
    """Has got the layer of what it is derived from, and predicts otherwise."""

    def forward(self, features):
        return super().forward(features) / 2


class HalvedLayer(Halved):
    def to_linear(self):
        layer = super().to_linear()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.div_(2)
        return layer


class Adjusted(LinearHead):
    def predict(self, features):
        return self(features) + torch.tensor([1.0, 0.0])


class OfNoLayer(Head):
    """Says nothing of a layer, but has weights."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.weight = nn.Parameter(WEIGHT)

    def forward(self, features):
        return (features @ self.weight.t()).exp()


class FailsAsLayer(LinearHead):
    def to_linear(self):
        return {}["layer"]


def started(kind):
    head = kind(2, [5, 3])
    head.init_from(WEIGHT, None)
    return head


@pytest.mark.parametrize("kind", [Halved, Adjusted])
@pytest.mark.parametrize("measure", [weight_norms, weight_cosines])
def test_a_layer_that_a_head_has_inherited_and_does_not_predict_by_is_not_believed(kind, measure) -> None:
    with pytest.raises(UsageError, match=f"`head` {kind.__name__} predicts in its own way, but has inherited its"):
        measure(started(kind))


def test_a_layer_of_its_own_is_believed_of_anybody() -> None:
    assert weight_norms(started(HalvedLayer)).tolist() == [2.5, 1.0]


def test_a_record_leaves_out_norms_that_are_not_known() -> None:
    evaluation = Evaluation([5, 3], (1, 4))
    logits = torch.eye(2)
    evaluation.update(logits, logits.softmax(dim=1), torch.arange(2))
    assert "weight_norm" not in evaluation.record(started(Halved))["per_class"]
    assert evaluation.record(started(HalvedLayer))["per_class"]["weight_norm"] == [2.5, 1.0]
    assert "weight_norm" not in evaluation.record(started(FailsAsLayer))["per_class"]
