"""Parts that do not go together are refused by name, the others are not."""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging, WeightAveraging

from lt_lightning import heads, losses
from lt_lightning.backbones import SmallCNN
from lt_lightning.callbacks import DRW, DeferredLoss
from lt_lightning.errors import UsageError
from lt_lightning.heads import (
    CosineHead,
    DisAlignHead,
    LinearHead,
    LogitAdjustmentHead,
    LWSHead,
    MaxNormHead,
    NCMHead,
    TauNormHead,
)
from lt_lightning.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    EqualizationLossV2,
    FocalLoss,
    GeneralizedReweightLoss,
    LDAMLoss,
    LogisticLoss,
    LORTLoss,
)
from lt_lightning.mixing import Mixup
from lt_lightning.modules import RepresentationModule
from lt_lightning.modules.combinations import check_head_and_loss, check_head_learns, check_sampler

COUNTS = [30, 5, 2]
BALANCED, AS_FOUND = SimpleNamespace(rebalances=True), SimpleNamespace(rebalances=False)


@pytest.mark.parametrize(
    ("head", "loss"),
    [
        (LinearHead, CrossEntropyLoss),
        (LinearHead, BalancedSoftmaxLoss),
        (LinearHead, partial(LDAMLoss, scale=1.0)),
        (LogitAdjustmentHead, LORTLoss),
        (partial(LogitAdjustmentHead, tau=0.0), LogisticLoss),
        (LinearHead, partial(LogisticLoss, init_bias=True)),
        (LinearHead, partial(CrossEntropyLoss, reduction="sum")),
        (partial(CosineHead, scale=1.0), LDAMLoss),
    ],
)
def test_parts_that_go_together(head, loss):
    check_head_and_loss(head(4, COUNTS), loss(COUNTS), allow_double_balancing=False)


@pytest.mark.parametrize(
    ("head", "loss", "sentence"),
    [
        (LogitAdjustmentHead, BalancedSoftmaxLoss, "LogitAdjustmentHead and `model.loss` BalancedSoftmaxLoss would"),
        (
            TauNormHead,
            partial(FocalLoss, weight=[1.0, 2.0, 3.0]),
            r"TauNormHead and `model.loss` FocalLoss with class weights \(`model.loss.weight`\) would both",
        ),
        (LinearHead, LDAMLoss, "LinearHead and `model.loss` LDAMLoss do not go together: LDAMLoss .* by 30"),
        (CosineHead, LDAMLoss, "CosineHead and `model.loss` LDAMLoss .* so needs plain cosines; give `model.head`"),
        (partial(CosineHead, scale=1.0, learnable_scale=True), LDAMLoss, "CosineHead and `model.loss` LDAMLoss"),
        (LogitAdjustmentHead, LogisticLoss, "LogitAdjustmentHead and `model.loss` LogisticLoss .* softmax probabilit"),
        (
            LWSHead,
            partial(LogisticLoss, init_bias=True),
            r"LWSHead and `model.loss` LogisticLoss .* start at -0\.6931, and this head has no bias that trains",
        ),
        (LinearHead, partial(LORTLoss, reduction="none"), 'LinearHead and .* LORTLoss .* `reduction` "none"'),
        (
            LogitAdjustmentHead,
            partial(ClassBalancedLoss, kind="sigmoid", beta=0.0),
            "LogitAdjustmentHead and `model.loss` ClassBalancedLoss .* sigmoids of single classes",
        ),
    ],
)
def test_heads_and_losses_that_do_not(head, loss, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_head_and_loss(head(4, COUNTS), loss(COUNTS), allow_double_balancing=False)


def test_double_balancing_may_be_allowed_and_scaling_twice_not():
    check_head_and_loss(LogitAdjustmentHead(4, COUNTS), BalancedSoftmaxLoss(COUNTS), allow_double_balancing=True)
    with pytest.raises(UsageError, match="do not go together"):
        check_head_and_loss(CosineHead(4, COUNTS), LDAMLoss(COUNTS), allow_double_balancing=True)


def test_a_balanced_sampler_and_what_else_balances():
    head, loss = LWSHead(4, COUNTS), CrossEntropyLoss(COUNTS)
    check_sampler(True, head, loss, allow_double_balancing=False)
    check_sampler(False, head, BalancedSoftmaxLoss(COUNTS), allow_double_balancing=False)
    check_sampler(True, head, BalancedSoftmaxLoss(COUNTS), allow_double_balancing=True)
    with pytest.raises(UsageError, match=r"`data.sampler` and `BalancedSoftmaxLoss` would both"):
        check_sampler(True, head, BalancedSoftmaxLoss(COUNTS), allow_double_balancing=False)
    weighted = CrossEntropyLoss(COUNTS, weight=[1.0, 2.0, 3.0])
    with pytest.raises(UsageError, match=r"`data.sampler` and `model.loss.weight` of `CrossEntropyLoss` would both"):
        check_sampler(True, head, weighted, allow_double_balancing=False)
    with pytest.raises(UsageError, match=r"`data.sampler` and `ClassBalancedLoss` would both"):  # its own weights
        check_sampler(True, head, ClassBalancedLoss(COUNTS), allow_double_balancing=False)
    with pytest.raises(UsageError, match=r"`data.sampler` and `LogitAdjustmentHead` would both"):
        check_sampler(True, LogitAdjustmentHead(4, COUNTS), loss, allow_double_balancing=False)


def test_allowing_double_balancing_allows_nothing_else():
    with pytest.raises(UsageError, match="sigmoids of single classes"):
        check_head_and_loss(LogitAdjustmentHead(4, COUNTS), LogisticLoss(COUNTS), allow_double_balancing=True)


@pytest.mark.parametrize("init_bias", [False, True])
def test_a_first_bias_is_set_when_asked_for(init_bias):
    module = RepresentationModule(COUNTS, SmallCNN(4), loss=partial(LogisticLoss, init_bias=init_bias))
    assert (module.head.bias.tolist() == pytest.approx([-0.6931472] * 3)) is init_bias


@pytest.mark.parametrize("average", [WeightAveraging, EMAWeightAveraging])
def test_weights_that_are_projected_once_an_epoch_are_not_averaged(trainer, digits, stage1_module, average):
    def fit(every, callback):
        module = stage1_module(data := digits(), head=lambda *given: MaxNormHead(*given, 0.3, project_every=every))
        trainer(2, callbacks=[callback]).fit(module, datamodule=data)
        return module.head.weight.norm(dim=1)

    with pytest.raises(UsageError, match=rf"^`model.head.project_every` epoch does not go with `{average.__name__}`:"):
        fit("epoch", average(use_buffers=False))
    bound = 0.3 + 1e-5
    assert bool((fit("step", average(use_buffers=False)) <= bound).all())
    assert bool((fit("epoch", StochasticWeightAveraging(0.01, swa_epoch_start=1)) <= bound).all())


def test_stage_one_has_no_features_to_make_a_head_from():
    with pytest.raises(UsageError, match=r"`model\.head` NCMHead and `model` RepresentationModule do not go together"):
        RepresentationModule(COUNTS, SmallCNN(4), head=NCMHead)


class Fixed(LinearHead):
    """Vectors that are to stay, as a classifier on a simplex has them."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.requires_grad_(False)


@pytest.mark.parametrize("head", [CosineHead, MaxNormHead, partial(LinearHead, reset=True), Fixed])
def test_heads_that_stage_one_can_train(head):
    check_head_learns(head(8, COUNTS), "RepresentationModule")


@pytest.mark.parametrize("head", [LWSHead, DisAlignHead, TauNormHead, partial(LogitAdjustmentHead, tau=0.0)])
def test_heads_that_wait_for_a_classifier(head):
    with pytest.raises(UsageError, match=r" \w+Head and `model` Rep.* keeps the classifier"):
        check_head_learns(head(8, COUNTS), "RepresentationModule")


# -- what the documentation says ---------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs/combinations.md").read_text()


def table(title):
    """The cells of the first table below a line."""
    lines = PAGE[PAGE.index(title) :].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    header, _, *body = rows
    return header, body


GROUPS = {name: re.findall(r"`(\w+)`", cell) for name, cell in table("The losses of each column")[1]}
GRID = [
    (head, column, cell)
    for head, *cells in table("## Head and loss")[1]
    for column, cell in zip(table("## Head and loss")[0][1:], cells, strict=True)
]
REASONS = {
    "1": "would both correct for class imbalance",
    "2": "so needs plain cosines",
    "3": "sigmoids of single classes",
    "4": "has no bias that trains",
    "5": "class weights",
    "6": "multiply logits by 1 and 30",
}


def head_of(cell):
    name, scale = re.fullmatch(r"`(\w+)(?:\(scale=(\d+)\))?`", cell).groups()
    return getattr(heads, name)(4, COUNTS, **({"scale": float(scale)} if scale else {}))


def verdict(check, *arguments):
    """The number of the reason for which a combination is refused; "yes" if it is not."""
    try:
        check(*arguments)
    except UsageError as error:
        return "".join(number for number, words in REASONS.items() if words in str(error))
    return "yes"


def test_the_page_knows_every_head_and_loss():
    named = {re.match(r"`(\w+)", head).group(1) for head, _, _ in GRID}
    assert named == set(heads.__all__) - {"Head", "AffineHead"}
    bases = {"Loss", "MarginLoss", "OneVsAllLoss"}
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(set(losses.__all__) - bases)


@pytest.mark.parametrize(("head", "column", "cell"), GRID)
def test_heads_and_losses_go_together_as_the_page_says(head, column, cell):
    asked = column == "`init_bias`"
    names = ["LogisticLoss"] if asked else GROUPS[column]
    for name in names:
        loss = getattr(losses, name)(COUNTS, **({"init_bias": True} if asked else {}))
        expected = cell if cell == "yes" else re.fullmatch(r"no \((\d)\)", cell).group(1)
        assert verdict(check_head_and_loss, head_of(head), loss, False) == expected, name


def stage1(loss, **options):
    head = partial(CosineHead, scale=1.0) if loss(COUNTS).logit_scale > 1 else LinearHead
    return RepresentationModule(COUNTS, SmallCNN(4), head=head, loss=loss, **options)


@pytest.mark.parametrize(("group", "sampler", "drw", "deferred"), table("## Loss, sampler and schedules")[1])
def test_samplers_and_schedules_go_with_losses_as_the_page_says(group, sampler, drw, deferred):
    for name in GROUPS[group]:
        module = stage1(getattr(losses, name))
        assert verdict(module.check, BALANCED) == ("yes" if sampler == "yes" else "1"), name
        found = verdict(DRW().check, module, 10, AS_FOUND)
        exception = re.search(r"but `(\w+)` \((\d)\)", drw)
        if exception and exception.group(1) == name:
            assert found == exception.group(2)
        else:
            assert found in ({"yes"} if drw.startswith("yes") else set(re.findall(r"\d", drw))), name
        assert verdict(DeferredLoss().check, module, 10, AS_FOUND) == ("yes" if deferred == "yes" else "6"), name


@pytest.mark.parametrize("loss", [ClassBalancedLoss, GeneralizedReweightLoss])
def test_losses_with_weights_of_their_own_keep_them(loss):
    module = stage1(loss)
    with pytest.raises(UsageError, match=f"`DRW` would replace the class weights given to `{loss.__name__}`"):
        DRW().check(module, 10)
    assert module.loss.weight is not None


class Training(LightningModule):
    """A head that balances, as a module of stage 1."""

    def __init__(self):
        super().__init__()
        self.loss, self.head = CrossEntropyLoss(COUNTS), NCMHead(4, COUNTS)


def test_what_the_page_refuses_beside_that():
    _, rows = table("Refused as well")
    refused = {
        "reduction: none": (
            lambda: stage1(partial(CrossEntropyLoss, reduction="none")),
            'CrossEntropyLoss cannot be trained with `reduction` "none": a step needs one number',
        ),
        "NCMHead": (
            lambda: RepresentationModule(COUNTS, SmallCNN(4), head=NCMHead),
            "NCMHead and `model` RepresentationModule do not go together: the head is made from the features",
        ),
        "TauNormHead": (
            lambda: RepresentationModule(COUNTS, SmallCNN(4), head=TauNormHead).check(AS_FOUND),
            "TauNormHead and `model` RepresentationModule do not go together: the head keeps the classifier of stage 1",
        ),
        "DeferredLoss": (
            lambda: DeferredLoss(1, EqualizationLossV2).check(stage1(CrossEntropyLoss), 3),
            "EqualizationLossV2 of `DeferredLoss` and .* do not go together: the first keeps a state",
        ),
        "Mixup": (
            lambda: Mixup().check(EqualizationLossV2(COUNTS)),
            "Mixup and `model.loss` EqualizationLossV2 do not go together: the loss keeps account of the classes",
        ),
    }
    assert len(rows) == len(refused)
    for (part, *_), (name, (make, sentence)) in zip(rows, refused.items(), strict=True):
        assert name in part
        with pytest.raises(UsageError, match=sentence):
            make()
    with pytest.raises(UsageError, match="`DRW` and `NCMHead` would both"):
        DRW().check(Training(), 3)
    with pytest.raises(UsageError, match=r"`DRW` and `data\.sampler` would both"):
        DRW().check(stage1(CrossEntropyLoss), 3, BALANCED)
    with pytest.raises(UsageError, match=r"`data\.sampler` and `NCMHead` would both"):
        check_sampler(True, NCMHead(4, COUNTS), CrossEntropyLoss(COUNTS), allow_double_balancing=False)
