import pytest
import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, Head, LinearHead


class Doubled(Head):
    def forward(self, features: Tensor) -> Tensor:
        return 2 * features


def test_sizes() -> None:
    head = Doubled(3, [9, 5])
    assert (head.in_features, head.num_classes, head.class_counts) == (3, 2, [9, 5])


@pytest.mark.parametrize("in_features", [0, -1])
def test_no_features_are_refused(in_features: int) -> None:
    with pytest.raises(UsageError, match=f"`in_features` must be at least 1, but got {in_features}"):
        Doubled(in_features, [5, 3])


@pytest.mark.parametrize("counts", [[], [3, 0]])
def test_counts_below_one_are_refused(counts: list[int]) -> None:
    with pytest.raises(UsageError, match=r"`class_counts` must hold at least 1 for each class, but got \["):
        Doubled(3, counts)


def test_defaults() -> None:
    head = Doubled(2, [5, 3])
    features = torch.ones(1, 2)
    assert torch.equal(head.predict(features), head(features))
    head.project_()
    assert (head.rebalances, head.normalized, head.project_every) == (False, False, "step")
    assert not head.needs_features


def test_what_a_head_lacks_is_said() -> None:
    head = Doubled(2, [5, 3])
    with pytest.raises(UsageError, match="`Doubled` cannot start from a linear classifier"):
        head.init_from(torch.ones(2, 2), None)
    with pytest.raises(UsageError, match="`Doubled` takes nothing from features"):
        head.init_from_features(torch.ones(8, 2), torch.zeros(8))
    with pytest.raises(UsageError, match="`Doubled` equals no plain linear layer"):
        head.to_linear()


def test_printed_it_says_what_it_was_made_with() -> None:
    assert repr(CosineHead(4, [5, 3])) == "CosineHead(num_classes=2, in_features=4, scale=16.0, learnable_scale=False)"


class Own(LinearHead):
    def predict(self, features: Tensor) -> Tensor:
        return 2 * self(features)


class Mixin:
    def forward(self, features: Tensor) -> Tensor:
        raise NotImplementedError  # nothing is run


class Before(Mixin, LinearHead):
    pass


class After(LinearHead, Mixin):
    """Its logits are those of LinearHead."""


class Later(Own):
    def to_linear(self) -> nn.Linear:
        raise NotImplementedError


class Renamed(Later):
    pass


@pytest.mark.parametrize(
    ("kind", "holds"),
    [(LinearHead, True), (Own, False), (Before, False), (After, True), (Later, True), (Renamed, True)],
)
def test_an_inherited_layer_holds_until_predictions_are_defined_anew(kind: type[LinearHead], holds: bool) -> None:
    assert kind(4, [5, 3]).linear_form_holds() is holds
