import threading

import pytest
import torch
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, Head, LinearHead, LWSHead


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


def test_features_of_another_training_set_are_refused() -> None:
    head = Doubled(2, [2, 1])
    head.check_features(torch.ones(3, 2), torch.tensor([0, 1, 0]))
    with pytest.raises(UsageError, match=r"`features` must have shape \(N, 2\) for `Doubled`, but got \(3, 4\)"):
        head.check_features(torch.ones(3, 4), torch.tensor([0, 1, 0]))
    with pytest.raises(UsageError, match=r"`features` must have shape \(N, 2\) for `Doubled`, but got \(3, 2, 1\)"):
        head.check_features(torch.ones(3, 2, 1), torch.tensor([0, 1, 0]))
    with pytest.raises(UsageError, match=r"each class as often as `class_counts`, \[2, 1\], .* but got \[1, 2\]"):
        head.check_features(torch.ones(3, 2), torch.tensor([0, 1, 1]))
    with pytest.raises(UsageError, match=r"`class_counts`, \[2, 1\], .* but got \[2, 0, 1\]"):
        head.check_features(torch.ones(3, 2), torch.tensor([0, 2, 0]))
    with pytest.raises(UsageError, match=r"8142 numbers, among them 1 for class 8141, .* them 2 for class 8141\.$"):
        Doubled(2, [1] * 8142).check_features(torch.ones(8143, 2), torch.arange(8143).clamp_max(8141))


def test_printed_it_says_what_it_was_made_with() -> None:
    assert repr(CosineHead(4, [5, 3])) == "CosineHead(num_classes=2, in_features=4, scale=16.0, learnable_scale=False)"


def test_what_a_layer_predicts_is_tried_without_a_trace():
    """Neither random numbers, nor the head, nor who watches it notices."""

    class Watcher:
        seen = 0

        def watch(self, head, inputs, logits):
            self.seen += 1

        def __deepcopy__(self, memo):
            raise AssertionError("copied along with the head")

    class Counting(LinearHead):
        def __init__(self, in_features, class_counts):
            super().__init__(in_features, class_counts)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, features):
            self.calls += 1
            return super().forward(features) + (torch.rand(1) if self.training else 0)

    head, watcher = Counting(4, [5, 3]), Watcher()
    head.register_forward_hook(watcher.watch)
    other = LinearHead(4, [5, 3]).to_linear()
    before = torch.get_rng_state()
    assert head.predicts_as(head.to_linear())
    assert not head.predicts_as(other)
    assert torch.equal(torch.get_rng_state(), before)
    assert (head.calls, watcher.seen, head.training) == (0, 0, True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_layer_of_another_precision_predicts_alike(dtype):
    class Mine(LWSHead):
        pass

    head = Mine(64, [5, 3])
    with torch.no_grad():
        head.scales.copy_(torch.tensor([1.7, 0.3]))
    head.to(dtype)
    assert head.predicts_as(head.to_linear())
    with torch.no_grad():
        wrong = head.to_linear()
        wrong.weight.mul_(1.2)
    assert not head.predicts_as(wrong)


class Kept(LinearHead):
    """Cannot be copied: keeps logits with their graph and a lock, and computes a weight before each forward."""

    def __init__(self, in_features: int, class_counts: list[int]) -> None:
        super().__init__(in_features, class_counts)
        self.lock = threading.Lock()
        self.inner = nn.Sequential(
            nn.utils.weight_norm(nn.Linear(in_features, in_features)), nn.BatchNorm1d(in_features)
        )
        self.register_buffer("calls", torch.zeros(()))
        self.same = nn.Module()
        self.same.register_buffer("calls", self.calls)

    def forward(self, features: Tensor) -> Tensor:
        with self.lock:
            self.same.calls += 1
            assert self.calls == self.same.calls
            self.inner(features)
            self.last = super().forward(features)
        return self.last


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_a_head_that_cannot_be_copied_is_tried_and_left_as_it_was() -> None:
    head = Kept(4, [5, 3])
    head.inner[1].eval()
    head(torch.randn(6, 4))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    calls = head.calls
    assert head.predicts_as(head.to_linear())
    assert (head.calls is calls, head.same.calls is calls) == (True, True)
    assert [part.training for part in head.modules()] == [True, True, True, False, True]
    torch.testing.assert_close(head.state_dict(), before, rtol=0, atol=0)


def test_a_head_that_fails_on_random_features_is_refused_and_left_as_it_was() -> None:
    class Picky(LinearHead):
        def predict(self, features: Tensor) -> Tensor:
            raise ValueError("too few images.")

    head = Picky(4, [5, 3])
    with pytest.raises(
        UsageError, match=r"`Picky` or the layer .* \(ValueError: too few images\), so whether they agr"
    ):
        head.predicts_as(head.to_linear())
    assert head.training
