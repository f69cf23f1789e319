"""Heads, losses and backbones of one's own that break the contract are refused before anything trains."""

from collections.abc import Sequence
from functools import partial, wraps
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lt_lightning.backbones import Backbone, SmallCNN
from lt_lightning.comparing.settings import Settings, SettingsParser
from lt_lightning.errors import UsageError
from lt_lightning.heads import AffineHead, Head, LinearHead, LWSHead
from lt_lightning.losses import CrossEntropyLoss, LORTLoss, Loss
from lt_lightning.modules import RepresentationModule, RetrainModule
from lt_lightning.modules.contract import check_features, heeds_weights, make_parts

COUNTS = [9, 5, 3, 2]


class Mine(AffineHead):
    """A head that does everything right."""

    def forward(self, features):
        return super().forward(features)


class Pair(Mine):
    def forward(self, features):
        return super().forward(features), features


class Turned(Mine):
    def forward(self, features):
        return super().forward(features).t()


class Labels(Mine):
    def predict(self, features):
        return self(features).argmax(dim=1)


class NoCounts(Mine):
    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, COUNTS)


class Unfinished(Head):
    pass


class NoStart(Head):
    def forward(self, features):
        return features[:, : self.num_classes]


class Mean(Loss):
    """A loss that does everything right."""

    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets)


class OfEach(Loss):
    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets, reduction="none")


class Forgets(Loss):
    def forward(self, logits, targets, features=None):
        F.cross_entropy(logits, targets)


class TwoArguments(Loss):
    def forward(self, logits, targets):
        return F.cross_entropy(logits, targets)


class TwoDecorated(Loss):
    @torch.autocast("cpu", enabled=False)
    def forward(self, logits, targets):
        return F.cross_entropy(logits, targets)


class Detached(Loss):
    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits.detach(), targets)


class OfFeatures(Loss):
    def forward(self, logits, targets, features=None):
        return features.square().mean()


class NoArguments(Loss):
    def __init__(self) -> None:
        super().__init__(COUNTS)

    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets)


BROKEN_HEADS = [
    (Pair, r"`model.head` Pair must give logits \(N, 4\) by `forward`, but gave a tuple"),
    (
        Turned,
        r"`model.head` Turned must give logits \(N, 4\) .* gave a tensor of shape \(4, 5\) and type float32 for 5",
    ),
    (Labels, r"`model.head` Labels must give logits \(N, 4\) by `predict`, but gave a tensor of shape \(5,\)"),
    (NoCounts, r"`model.head` is made from \(in_features, class_counts\), in this order, but .* 3 were given"),
    (Unfinished, "Can't instantiate abstract class Unfinished .*forward.*: a base class, or one of your own that"),
]
BROKEN_LOSSES = [
    (OfEach, r"`model.loss` OfEach must give a scalar by `forward`, but gave a tensor of shape \(5,\)"),
    (Forgets, "`model.loss` Forgets must give a scalar by `forward`, but gave nothing"),
    (
        TwoArguments,
        r"`model.loss` TwoArguments is given \(logits, targets, features\) by `forward`, but .* 4 were given",
    ),
    (TwoDecorated, r"`model.loss` TwoDecorated is given .* by `forward`, but .* 4 were given"),
    (Detached, "`model.loss` Detached gives a value without a gradient, so nothing could be trained"),
    (NoArguments, r"`model.loss` is made from \(class_counts\), in this order, but .* 2 were given"),
]


@pytest.mark.parametrize(("head", "sentence"), BROKEN_HEADS)
def test_broken_heads(head, sentence):
    with pytest.raises(UsageError, match=sentence):
        RepresentationModule(COUNTS, SmallCNN(), head)
    with pytest.raises(UsageError, match=sentence):
        Settings(head=head).parts(8, COUNTS)


@pytest.mark.parametrize(("loss", "sentence"), BROKEN_LOSSES)
def test_broken_losses(loss, sentence):
    with pytest.raises(UsageError, match=sentence):
        RepresentationModule(COUNTS, SmallCNN(), loss=loss)
    with pytest.raises(UsageError, match=sentence):
        Settings(loss=loss).parts(8, COUNTS)


def test_a_loss_of_features_alone_is_one_for_stage_1():
    assert isinstance(make_parts(6, COUNTS, Mine, OfFeatures)[1], OfFeatures)


def test_a_head_that_stage_2_cannot_start_is_found_before_stage_1_trains():
    RepresentationModule(COUNTS, SmallCNN(), NoStart)
    with pytest.raises(UsageError, match=r"`model.head` NoStart cannot start from a linear classifier"):
        RetrainModule(COUNTS, "not yet there.ckpt", SmallCNN(), NoStart)
    with pytest.raises(UsageError, match=r"`model.head` NoStart cannot start from a linear classifier"):
        Settings(head=NoStart).parts(8, COUNTS)  # before features are computed


@pytest.mark.parametrize("classes", [1, 2, 4, 7])
def test_parts_that_keep_to_it_are_left_as_they_were_made(classes):
    counts = list(range(classes, 0, -1))
    torch.manual_seed(3)
    expected = LinearHead(6, counts), CrossEntropyLoss(counts)
    following = torch.rand(1)
    torch.manual_seed(3)
    head, loss = make_parts(6, counts, Mine, Mean)
    assert torch.equal(head.weight, expected[0].weight)
    assert torch.equal(torch.rand(1), following)
    assert isinstance(loss, Mean)
    assert head.training
    assert loss.training


def test_trying_out_leaves_no_trace():
    class Counting(Mean):
        def __init__(self, class_counts):
            super().__init__(class_counts)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, logits, targets, features=None):
            self.seen += len(targets)
            return super().forward(logits, targets)

    class Noisy(Mine):
        def forward(self, features):
            return super().forward(features) + torch.rand(self.num_classes)

    torch.manual_seed(0)
    LinearHead(6, COUNTS)
    following = torch.rand(1)
    torch.manual_seed(0)
    _, loss = make_parts(6, COUNTS, Noisy, Counting)
    assert torch.equal(torch.rand(1), following)
    assert loss.seen == 0


def test_a_value_of_another_type_is_no_wrong_call():
    """Only the command line looks at types."""
    for loss in (partial(LORTLoss, delta="0.9"), partial(CrossEntropyLoss, label_smoothing=[0.1])):
        with pytest.raises(TypeError, match="not supported between instances of"):
            make_parts(6, COUNTS, Mine, loss)
    with pytest.raises(UsageError, match=r"`model.loss` is made from \(class_counts\), .* unexpected .* 'margin'"):
        make_parts(6, COUNTS, Mine, partial(LORTLoss, margin=0.9))
    with pytest.raises(UsageError, match=r"`model.loss` is made from \(class_counts\), .* is not callable"):
        make_parts(6, COUNTS, Mine, "LORTLoss")


def test_trouble_inside_ones_own_code_stays_what_it_is():
    class Needy(Mean):
        def forward(self, logits, targets, features=None):
            if len(targets) < 64:
                raise RuntimeError("too few")
            return super().forward(logits, targets)

    class Broken(Mine):
        def __init__(self, in_features: int, class_counts: list[int]) -> None:
            super().__init__(in_features)

    make_parts(6, COUNTS, Mine, Needy)  # a batch of the data may be large enough
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'class_counts'"):
        make_parts(6, COUNTS, Broken, Mean)


class Half(Mine):
    """Rounds by itself, whatever autocast does."""

    def forward(self, features):
        with torch.autocast("cpu", torch.bfloat16):
            return F.linear(features, self.weight, self.bias)


class HalfAtTest(Mine):
    def predict(self, features):
        return self(features).half()


class Plain(Head):
    """Gives bfloat16 under autocast, in which no head of a module is called."""

    def __init__(self, in_features: int, class_counts: list[int]) -> None:
        super().__init__(in_features, class_counts)
        self.layer = nn.Linear(in_features, self.num_classes)

    def forward(self, features):
        return self.layer(features)


@pytest.mark.parametrize(
    ("head", "method", "found"), [(Half, "forward", "bfloat16"), (HalfAtTest, "predict", "float16")]
)
def test_logits_in_half_precision_are_refused(head, method, found):
    sentence = rf"`model.head` {head.__name__} must give logits in fp32 .* by `{method}`, but made {found} of "
    with pytest.raises(
        UsageError, match=sentence + r"features in float32; .*`lt_lightning.functional.linear\(features, weight"
    ):
        make_parts(6, COUNTS, head, Mean)


def test_a_head_that_autocast_alone_would_round_is_taken():
    make_parts(6, COUNTS, Plain, Mean)
    with torch.autocast("cpu", torch.bfloat16):
        head, _ = make_parts(6, COUNTS, Plain, Mean)
        module = RepresentationModule(COUNTS, SmallCNN(), Plain)
        assert head(torch.zeros(2, 6)).dtype == torch.bfloat16
        assert module(torch.zeros(2, 1, 8, 8)).dtype == torch.float32


def test_class_weights_that_a_loss_forgets_are_not_taken():
    class Heeding(Loss):
        def forward(self, logits, targets, features=None):
            return self.reduce(F.cross_entropy(logits, targets, reduction="none"), targets)

    assert heeds_weights(Heeding(COUNTS))
    assert not heeds_weights(Mean(COUNTS))
    assert heeds_weights(CrossEntropyLoss(COUNTS))
    RepresentationModule(COUNTS, SmallCNN(), loss=lambda counts: Heeding(counts, weight=[1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(UsageError, match=r"`model.loss` Mean is given a `weight` .* but does not look at it"):
        RepresentationModule(COUNTS, SmallCNN(), loss=lambda counts: Mean(counts, weight=[1.0, 2.0, 3.0, 4.0]))


def test_backbones_give_what_they_announce():
    class Maps(Backbone):
        def __init__(self) -> None:
            super().__init__()
            self.num_features = 3
            self.layer = nn.Conv2d(1, 3, 1)

        def forward(self, images):
            return self.layer(images)

    module = RepresentationModule(COUNTS, Maps())
    with pytest.raises(UsageError, match=r"`model.backbone` Maps must give features \(N, 3\).* shape \(2, 3, 8, 8\)"):
        module(torch.zeros(2, 1, 8, 8))
    with pytest.raises(UsageError, match="but gave a tuple"):
        check_features((torch.zeros(2, 3), None), module.backbone)
    del module.backbone.num_features
    with pytest.raises(UsageError, match=r"`model.backbone` Maps must set `num_features`.* but it is None"):
        RepresentationModule(COUNTS, module.backbone)


class TooEarly(Head):
    def __init__(self, in_features: int, class_counts: list[int]) -> None:
        self.layer = nn.Linear(in_features, len(class_counts))

    def forward(self, features):
        return self.layer(features)


class Forgetful(Mean):
    def __init__(self, class_counts: list[int]) -> None:
        self.scale = 2.0


def test_parts_begin_with_their_base():
    with pytest.raises(UsageError, match=r"`model.head`, .* must begin its `__init__` with `super\(\).__init__\(in_"):
        make_parts(6, COUNTS, TooEarly, Mean)
    with pytest.raises(
        UsageError, match=r"`model.loss` Forgetful must begin .* with `super\(\).__init__\(class_counts\)`"
    ):
        make_parts(6, COUNTS, Mine, Forgetful)


def test_a_backbone_begins_with_its_base():
    class Unbegun(Backbone):
        def __init__(self) -> None:
            self.num_features = 64

        def forward(self, images):
            return images.flatten(1)

    with pytest.raises(UsageError, match=r"`model.backbone` Unbegun must begin .* with `super\(\).__init__\(\)`"):
        RepresentationModule(COUNTS, Unbegun())


class NumClasses(Mine):
    def __init__(self, in_features: int, num_classes: int, tau: float = 1.0) -> None:
        super().__init__(in_features, num_classes)


class OtherOrder(Mine):
    def __init__(self, class_counts: list[int], in_features: int) -> None:
        super().__init__(in_features, class_counts)


class NamesAlone(Mine):
    def __init__(self, class_counts, in_features):
        super().__init__(in_features, class_counts)


class Written(Mine):
    def __init__(self, width: "int", classes: "int") -> None:
        super().__init__(width, classes)


class Strength(Mean):
    """Would have the class counts for its strength, and train."""

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__(COUNTS)


class StrengthByDefault(Mean):
    def __init__(self, gamma=2.0):
        super().__init__(COUNTS)


@pytest.mark.parametrize(
    ("key", "part", "takes"),
    [
        ("head", NumClasses, "in_features: int, num_classes: int"),
        ("head", OtherOrder, r"class_counts: list\[int\], in_features: int"),
        ("head", NamesAlone, "class_counts, in_features"),
        ("head", Written, "width: int, classes: int"),
        ("loss", Strength, "gamma: float = 2.0"),
        ("loss", StrengthByDefault, "gamma=2.0"),
    ],
)
def test_parameters_that_say_otherwise_are_refused(key, part, takes):
    arguments = {"head": r"in_features, class_counts", "loss": "class_counts"}[key]
    sentence = (
        rf"`model.{key}` {part.__name__} is made from \({arguments}\), in this order, but takes \({takes}\); let its "
        rf"parameters begin with \(.*class_counts: list\[int\]\), where `len\(class_counts\)` is the number of classes"
    )
    for factory in (part, partial(part)):
        with pytest.raises(UsageError, match=sentence):
            Settings(**{key: factory}).parts(8, COUNTS)


def test_parameters_are_looked_at_also_where_the_command_line_makes_the_part():
    for key, name in (("head", "NumClasses"), ("loss", "Strength")):
        settings = SettingsParser().make({key: {"class_path": f"{__name__}.{name}"}}, "mine")
        with pytest.raises(UsageError, match=rf"`model.{key}` {name} is made from .*, in this order, but takes"):
            settings.parts(8, COUNTS)


class Unknown(Mine):
    def __init__(self, in_features: "Somewhere", class_counts: "Else") -> None:  # noqa: F821
        super().__init__(in_features, class_counts)


class Passing(Mine):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)


class Loose(Mine):
    def __init__(self, d, counts: Sequence[int] | None = None, tau: float = 1.0) -> None:
        super().__init__(d, counts)


class Strong(Mine):
    def __init__(self, in_features, class_counts, strength):
        super().__init__(in_features, class_counts)


@wraps(Strong)
def strong(in_features, class_counts):
    return Strong(in_features, class_counts, 2.0)


class Factory:
    def __call__(self, width: float, counts: Any) -> Head:
        return Mine(int(width), counts)


@pytest.mark.parametrize(
    "head",
    [
        Unknown,
        Passing,
        Loose,
        partial(Loose, tau=2.0),
        Factory(),
        strong,  # whose signature is that of the class
        lambda d, counts: Mine(d, counts),
        lambda in_features, num_classes: Mine(in_features, num_classes),  # handed on as they are
        LWSHead,
    ],
)
def test_parameters_that_say_no_otherwise_are_left_alone(head):
    assert isinstance(make_parts(6, COUNTS, head, Mean)[0], Head)


def test_shapes_are_known_before_the_first_batch():
    class Lazy(Mine):
        def __init__(self, in_features: int, class_counts: list[int]) -> None:
            super().__init__(in_features, class_counts)
            self.inner = nn.LazyLinear(3)

    with pytest.raises(
        UsageError, match=r"`model.head` Lazy has parameters .* \(inner.weight, inner.bias\); give them"
    ):
        make_parts(6, COUNTS, Lazy, Mean)


def test_a_part_that_is_made_already_is_refused():
    head, loss = LinearHead(4, [3, 2]), CrossEntropyLoss([3, 2])
    with pytest.raises(UsageError, match=r"`model.head` must be what makes one, such as the class `LinearHead` or"):
        make_parts(4, [3, 2], head, CrossEntropyLoss)
    with pytest.raises(
        UsageError, match=r"`model.loss` must be what makes one, such as the class `CrossEntropyLoss` or"
    ):
        make_parts(4, [3, 2], LinearHead, loss)


@pytest.mark.parametrize(("given", "name"), [(SmallCNN, "SmallCNN"), ("ResNet32", "'ResNet32'")])
def test_a_backbone_that_is_not_made_is_refused(given, name):
    with pytest.raises(UsageError, match=rf"^`model.backbone` must be a network that is made, .* but got {name}\.$"):
        RepresentationModule([3, 2], given)


def test_counts_may_be_a_tensor_and_are_kept_as_numbers():
    module = RepresentationModule(torch.tensor([3, 2]), SmallCNN(8))
    assert module.class_counts == [3, 2]
    assert [type(count) for count in module.class_counts] == [int, int]
