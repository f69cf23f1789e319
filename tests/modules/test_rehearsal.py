"""Heads and losses of one's own take a step before a stage 1 trains."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lt_lightning.backbones import SmallCNN
from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, Head, LinearHead, NCMHead
from lt_lightning.losses import CrossEntropyLoss, Loss
from lt_lightning.modules import RepresentationModule, RetrainModule
from lt_lightning.modules.rehearsal import rehearse, rehearse_module, rehearse_start

CPU = torch.device("cpu")


class Wide(Loss):
    """Fits features of another length."""

    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets) + (features @ torch.zeros(9, 1)).mean()


class Unsure(CrossEntropyLoss):
    """Makes no probabilities of as many logits."""

    def probabilities(self, logits):
        return torch.softmax(logits @ torch.zeros(9, 1), dim=1)


class Unbiased(LinearHead):
    asked = False

    def init_from(self, weight, bias):
        type(self).asked = True
        if bias is not None:
            raise ValueError("no bias, please")
        super().init_from(weight, bias)


class Counting(LinearHead):
    rows: list[int] = []  # noqa: RUF012

    def forward(self, features):
        self.rows.append(len(features))
        return super().forward(features)


class Dead(NCMHead):
    """Counts on features that are 0."""

    def init_from_features(self, features, targets):
        super().init_from_features(features * (1 / int((features == 0).sum())), targets)


class Near(NCMHead):
    """Counts on what random features do not have."""

    def init_from_features(self, features, targets):
        super().init_from_features(features, targets + (features.norm(dim=1) < 0).nonzero()[0])


class Refusing(NCMHead):
    def init_from_features(self, features, targets):
        raise type("Refused", (Exception,), {})


class Mistyped(NCMHead):
    def init_from_features(self, features, targets):
        super().init_from_features(features.no_such_thing, targets)


class TwoExperts(Head):
    """Predicts the mean of two linear classifiers."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.experts = torch.nn.ModuleList(torch.nn.Linear(in_features, self.num_classes) for _ in range(2))

    def forward(self, features):
        return sum(expert(features) for expert in self.experts) / 2


def module(kind=RetrainModule, **parts):
    return kind([5, 3, 2], "stage 1", SmallCNN(8), **parts)


def test_a_step_that_fails_is_shown_and_leaves_no_trace():
    mine = module(loss=Wide)
    before = {key: value.clone() for key, value in mine.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.raises(RuntimeError, match="9"):
        rehearse_module(mine, 32, CPU)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[key]) for key, value in mine.state_dict().items())
    assert all(parameter.grad is None for parameter in mine.parameters())


def test_probabilities_that_fail_are_shown_too():
    with pytest.raises(RuntimeError, match="9"):
        rehearse_module(module(loss=Unsure), 32, CPU)


def test_a_head_that_refuses_the_classifier_that_stands_for_stage_1s_is_not_judged():
    rehearse_module(module(head=Unbiased), 32, CPU)
    assert Unbiased.asked


def rehearsed(head):
    """Whether a head got as far as a step."""
    steps = []
    parts = head(8, [5, 3, 2]), CrossEntropyLoss([5, 3, 2])
    rehearse(*parts, torch.ones(3, 8), None, 32, lambda *given: steps.append(given), CPU)
    return len(steps) == 1


def test_random_features_have_zeros_as_those_behind_a_relu():
    assert rehearsed(Dead)


@pytest.mark.parametrize("head", [Near, Refusing])
def test_a_head_that_cannot_be_made_from_random_features_is_passed_over(head):
    assert not rehearsed(head)


def test_code_that_is_wrong_for_all_features_is_shown():
    with pytest.raises(AttributeError, match="no_such_thing"):
        rehearsed(Mistyped)


@pytest.mark.parametrize(("rows", "seen"), [(32, 32), (1000, 256), (None, 64), ("many", 64)])
def test_batches_are_as_long_as_the_data_say_within_reason(rows, seen):
    mine = module(head=Counting)
    Counting.rows.clear()
    rehearse_module(mine, rows, CPU)
    assert max(Counting.rows) == seen


def test_modules_of_ones_own_and_known_parts_are_passed_over(monkeypatch):
    class Own(RetrainModule):
        pass

    called = []
    known, own = module(), module(Own, head=Counting)
    monkeypatch.setattr(CrossEntropyLoss, "forward", lambda *_: called.append("called"))
    rehearse_module(known, 32, CPU)
    rehearse_module(own, 32, CPU)
    assert called == []


def test_a_stage_1_without_a_classifier_to_start_from_is_refused_before_it_is_saved():
    mine = module()
    before = {key: value.clone() for key, value in mine.state_dict().items()}
    sentence = "^`checkpoint` 'stage 1' has a head of somebody's own, TwoExperts, that holds 'head.experts.0.weight'"
    with pytest.raises(UsageError, match=sentence):
        rehearse_start(mine, RepresentationModule([5, 3, 2], SmallCNN(8), head=TwoExperts))
    for head in (LinearHead, CosineHead, Unbiased):
        rehearse_start(mine, RepresentationModule([5, 3, 2], SmallCNN(8), head=head))
    assert all(torch.equal(value, before[key]) for key, value in mine.state_dict().items())


class WithMore(LinearHead):
    """Saves a dictionary beside its layer."""

    def get_extra_state(self):
        return {"seen": 3}

    def set_extra_state(self, state):
        pass


class FilledLater(Head):
    """Its first batch fills it."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.fc = nn.Linear(in_features, len(class_counts))
        nn.init.constant_(self.fc.weight, float("nan"))

    def forward(self, features):
        return self.fc(features)


@pytest.mark.parametrize("head", [WithMore, FilledLater])
def test_heads_that_save_more_or_are_filled_in_training_are_let_through(head):
    first = RepresentationModule([5, 3, 2], SmallCNN(8), head=head)
    rehearse_start(module(), first)
    assert head is not FilledLater or bool(first.head.fc.weight.isnan().all())


def test_names_are_read_as_those_of_a_file():
    """Such as those of a network that compiles a part of itself."""

    class Compiling(SmallCNN):
        def __init__(self):
            super().__init__(8)
            self.more = torch.compile(nn.Conv2d(3, 3, 1))

    with pytest.raises(UsageError, match="does not fit"):
        rehearse_start(RetrainModule([5, 3, 2], "stage 1", Compiling()), RepresentationModule([5, 3, 2], Compiling()))


def test_what_a_module_of_ones_own_will_save_is_not_guessed(monkeypatch):
    asked = []
    monkeypatch.setattr(RetrainModule, "find_in", lambda *_: asked.append("asked"))

    class First(RepresentationModule):
        pass

    class Second(RetrainModule):
        pass

    rehearse_start(module(), First([5, 3, 2], SmallCNN(8), head=TwoExperts))
    rehearse_start(module(Second), RepresentationModule([5, 3, 2], SmallCNN(8), head=TwoExperts))
    assert asked == []
    rehearse_start(module(), RepresentationModule([5, 3, 2], SmallCNN(8), head=TwoExperts))
    assert asked == ["asked"]
