"""Heads trained together equal heads trained alone."""

import time
import weakref
from functools import partial
from typing import ClassVar

import pytest
import torch

from lt_lightning.devices.random_state import RandomState
from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, DisAlignHead, LinearHead, LWSHead, MaxNormHead
from lt_lightning.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    ELMLoss,
    EqualizationLossV2,
    FocalLoss,
    GeneralizedReweightLoss,
    HardSelectionLogisticLoss,
    HardSelectionSoftmaxLoss,
    InfluenceBalancedLoss,
    LabelAwareSmoothingLoss,
    LargeMarginSoftmaxLoss,
    LDAMLoss,
    LGLINRLoss,
    LogisticLoss,
    LogitAdjustedLoss,
    LORTLoss,
    MaximumMarginLDAMLoss,
    SeesawLoss,
    SoftSelectionLogisticLoss,
    VectorScalingLoss,
)
from lt_lightning.retraining import HeadRun, loop, train_heads
from lt_lightning.retraining.loop import HEADS_PER_STACK
from lt_lightning.retraining.stacked_sgd import StackedSGD, stack_key
from lt_lightning.samplers import ClassBalancedSampler, InstanceSampler
from lt_lightning.schedules import CosineLR

COUNTS = [30, 12, 5, 2, 1]
D = 8


class Rows:
    def __init__(self, dtype=torch.float64):
        generator = torch.Generator().manual_seed(0)
        self.targets = torch.arange(len(COUNTS)).repeat_interleave(torch.tensor(COUNTS))
        self.features = torch.randn(2, sum(COUNTS), D, generator=generator, dtype=dtype)

    def take(self, indices, epoch):
        return self.features[epoch % 2, indices], self.targets[indices]


def run(
    head, loss, sampler, lr=0.05, weight_decay=0.0, epochs=3, optimizer=torch.optim.SGD, momentum=0.9, batch_size=16
):
    torch.manual_seed(1)
    made = head(D, COUNTS).double()
    settings = {"lr": lr, "weight_decay": weight_decay} | (
        {"momentum": momentum} if optimizer is torch.optim.SGD else {}
    )
    made_optimizer = optimizer([p for p in made.parameters() if p.requires_grad], **settings)
    scheduler = CosineLR(made_optimizer)
    scheduler.set_epochs(epochs)
    return HeadRun(made, loss(COUNTS), made_optimizer, scheduler, sampler, batch_size, epochs)


def by_autograd(reference, rows):
    for epoch in range(reference.epochs):
        for indices in reference.sampler.indices(epoch).split(reference.batch_size):
            features, targets = rows.take(indices, epoch)
            reference.optimizer.zero_grad()
            reference.loss(reference.head(features), targets, features).backward()
            reference.optimizer.step()
            if reference.head.project_every == "step":
                reference.head.project_()
        if reference.head.project_every == "epoch":
            reference.head.project_()
        reference.scheduler.step()


WEIGHTS = [0.1, 0.5, 1.0, 2.0, 3.0]
COSINE = partial(CosineHead, scale=1)
STACKED = {
    "ce": (LinearHead, CrossEntropyLoss),
    "weighted": (LinearHead, partial(CrossEntropyLoss, weight=WEIGHTS)),
    "smoothed": (LinearHead, partial(CrossEntropyLoss, label_smoothing=0.1)),
    "weighted_and_smoothed": (LinearHead, partial(CrossEntropyLoss, weight=WEIGHTS, label_smoothing=0.1)),
    "lort": (LinearHead, partial(LORTLoss, delta=0.9)),
    "balanced_softmax": (LinearHead, BalancedSoftmaxLoss),
    "logit_adjusted": (LinearHead, partial(LogitAdjustedLoss, tau=0.5)),
    "class_balanced": (LinearHead, ClassBalancedLoss),
    "class_balanced_bce": (LinearHead, partial(ClassBalancedLoss, kind="softmax_bce")),
    "class_balanced_sigmoid": (LinearHead, partial(ClassBalancedLoss, kind="sigmoid")),
    "class_balanced_focal": (LinearHead, partial(ClassBalancedLoss, kind="focal")),
    "focal": (LinearHead, FocalLoss),
    "seesaw": (LinearHead, SeesawLoss),
    "focal_weighted": (LinearHead, partial(FocalLoss, gamma=0.5, weight=WEIGHTS)),
    "ldam": (LinearHead, partial(LDAMLoss, scale=1.0)),
    "ldam_scaled": (LinearHead, partial(LDAMLoss, scale=3.0)),
    "ldam_cosine": (COSINE, LDAMLoss),
    "elm": (COSINE, ELMLoss),
    "elm_weighted": (COSINE, partial(ELMLoss, weight=WEIGHTS)),
    "mm_ldam": (COSINE, MaximumMarginLDAMLoss),
    "label_aware_smoothing": (LinearHead, LabelAwareSmoothingLoss),
    "generalized_reweight": (LinearHead, partial(GeneralizedReweightLoss, rho=1.2)),
    "vector_scaling": (LinearHead, partial(VectorScalingLoss, gamma=0.3, tau=0.75)),
    "large_margin": (LinearHead, partial(LargeMarginSoftmaxLoss, weight=WEIGHTS)),
    "influence": (LinearHead, partial(InfluenceBalancedLoss, alpha=1.0, weight=WEIGHTS)),
    "influence_focal": (LinearHead, partial(InfluenceBalancedLoss, alpha=1.0, gamma=2.0)),
    "lr_plain": (LinearHead, LogisticLoss),
    "lr": (LinearHead, partial(LogisticLoss, weight=WEIGHTS)),
    "hs_lr": (LinearHead, partial(HardSelectionLogisticLoss, m=50)),
    "hs_sr": (LinearHead, partial(HardSelectionSoftmaxLoss, m=50)),
    "ss_lr": (LinearHead, SoftSelectionLogisticLoss),
    "eqlv2": (LinearHead, EqualizationLossV2),
    "lgl_inr": (LinearHead, LGLINRLoss),
    "lgl_inr_beta": (LinearHead, partial(LGLINRLoss, beta=3.0)),
    "max_norm": (partial(MaxNormHead, radius=0.5), CrossEntropyLoss),
    "max_norm_epoch": (partial(MaxNormHead, radius=0.4, project_every="epoch"), LORTLoss),
    "cosine": (CosineHead, CrossEntropyLoss),
    "cosine_learnt": (partial(CosineHead, scale=3.0, learnable_scale=True), CrossEntropyLoss),
    "lws": (LWSHead, CrossEntropyLoss),
    "lws_lr": (LWSHead, LogisticLoss),
    "disalign": (DisAlignHead, partial(GeneralizedReweightLoss, rho=1.2)),
    "disalign_lgl_inr": (DisAlignHead, LGLINRLoss),
}


class Halved(CrossEntropyLoss):
    """A user's loss, derived from one that is known."""

    def forward(self, logits, targets, features=None):
        return super().forward(logits, targets, features) / 2


class Bent(LinearHead):
    """A user's head."""

    def forward(self, features):
        return super().forward(features).tanh()


ALONE = {
    "loss": (LinearHead, Halved),
    "head": (Bent, CrossEntropyLoss),
    "sum": (LinearHead, partial(CrossEntropyLoss, reduction="sum")),
    "influence_of_a_head": (Bent, partial(InfluenceBalancedLoss, alpha=1.0)),
    "max_norm_and_a_loss": (partial(MaxNormHead, radius=0.5), Halved),
    "max_norm_epoch_and_a_loss": (partial(MaxNormHead, radius=0.4, project_every="epoch"), Halved),
    "weighted_eqlv2": (LinearHead, partial(EqualizationLossV2, weight=WEIGHTS)),
}


def assert_as_alone(*settings):
    """Settings are those of `run`; made twice, the heads start alike."""
    rows, runs = Rows(), [made() for made in settings]
    train_heads(runs, rows)
    for made, each in zip(settings, runs, strict=True):
        reference = made()
        start = {name: tensor.clone() for name, tensor in reference.head.state_dict().items()}
        by_autograd(reference, rows)
        found = each.head.state_dict()
        assert any(not torch.equal(found[name], start[name]) for name in found)
        for name, expected in reference.head.state_dict().items():
            torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-12)
        for name, expected in reference.loss.state_dict().items():
            torch.testing.assert_close(each.loss.state_dict()[name], expected, rtol=0, atol=1e-12)
        assert each.optimizer.param_groups[0]["lr"] == reference.optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("make", (STACKED | ALONE).values(), ids=STACKED | ALONE)
def test_each_alone(make):
    assert_as_alone(partial(run, *make, InstanceSampler(Rows().targets)))


def test_known_parts_stack_and_others_do_not():
    sampler = InstanceSampler(Rows().targets)
    assert all(stack_key(run(*make, sampler)) is not None for make in STACKED.values())
    assert all(stack_key(run(*make, sampler)) is None for make in ALONE.values())


def test_all_together():
    sampler = InstanceSampler(Rows().targets)
    kinds = (STACKED | ALONE).values()
    runs = [partial(run, *kind, sampler, lr, lr / 10, epochs=2) for kind in kinds for lr in (0.01, 0.1)]
    assert len(runs) > HEADS_PER_STACK
    assert_as_alone(*runs)


def test_other_orders_lengths_momenta_and_optimisers():
    targets = Rows().targets
    ce = (LinearHead, CrossEntropyLoss)
    assert_as_alone(
        partial(run, *ce, InstanceSampler(targets, seed=1)),
        partial(run, *ce, InstanceSampler(targets, seed=2)),
        partial(run, *ce, ClassBalancedSampler(targets), epochs=2),
        partial(run, *ce, InstanceSampler(targets), momentum=0.5),
        partial(run, *ce, InstanceSampler(targets), momentum=0.0),
        partial(run, *ce, InstanceSampler(targets), optimizer=torch.optim.AdamW, lr=1e-3),
    )


def test_other_lengths_batches_and_decays_over_one_order():
    make = partial(run, LinearHead, CrossEntropyLoss, InstanceSampler(Rows().targets))
    assert_as_alone(partial(make, epochs=2), make, partial(make, batch_size=8), partial(make, weight_decay=0.1))


class Noting(Bent):
    """Notes the modes that it was called in."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.modes = set()

    def forward(self, features):
        self.modes.add(self.training)
        return super().forward(features)


def test_a_head_that_trains_alone_does_so_in_training_mode_and_is_left_in_the_other():
    alone = run(Noting, partial(EqualizationLossV2, weight=WEIGHTS), InstanceSampler(Rows().targets))
    alone.head.eval()
    alone.loss.eval()
    train_heads([alone], Rows())
    assert alone.head.modes == {True}
    assert (alone.loss.positive_gradients > 0).all()  # which grow in training mode alone
    assert not alone.head.training
    assert not alone.loss.training
    assert not alone.optimizer.state  # as large as the head, for as long as other seeds' heads train


class Unit(LinearHead):
    """Writes into the features that it is given."""

    def forward(self, features):
        features /= features.norm(dim=1, keepdim=True)
        return super().forward(features)


class Reversing(CrossEntropyLoss):
    """Writes into the classes that it is given."""

    def forward(self, logits, targets, features=None):
        targets.copy_(len(COUNTS) - 1 - targets)
        return super().forward(logits, targets)


def test_parts_of_ones_own_that_write_into_a_batch_spoil_nobody_elses():
    make = partial(run, sampler=InstanceSampler(Rows().targets))
    unit, reversing = make(Unit, CrossEntropyLoss), make(Bent, Reversing)
    kinds = [STACKED["lort"], ALONE["head"], ALONE["loss"]]
    alone, beside = ([make(*kind) for kind in kinds] for _ in range(2))
    train_heads(alone, Rows())
    train_heads([unit, reversing, *beside], Rows())
    for one, other in zip(alone, beside, strict=True):
        assert torch.equal(one.head.weight, other.head.weight)


class Dropping(LinearHead):
    """Draws in training."""

    def forward(self, features):
        return super().forward(torch.dropout(features, 0.5, self.training))


class Blurred(CrossEntropyLoss):
    """Draws in training."""

    def forward(self, logits, targets, features=None):
        return super().forward(logits + torch.randn_like(logits), targets)


class Shaken(torch.optim.SGD):
    """Draws at each step."""

    def step(self, closure=None):
        super().step(closure)
        for parameter in self.param_groups[0]["params"]:
            parameter.data.add_(torch.randn_like(parameter), alpha=1e-3)


class Sharp(torch.optim.SGD):
    """Sharpness-aware minimisation: a step by the gradient that is found a little way uphill."""

    @torch.no_grad()
    def step(self, closure=None):
        if closure is None:
            return super().step()
        loss = closure()
        parameters = self.param_groups[0]["params"]
        uphill = [0.1 * parameter.grad.sign() for parameter in parameters]
        for parameter, move in zip(parameters, uphill, strict=True):
            parameter.add_(move)
        closure()
        for parameter, move in zip(parameters, uphill, strict=True):
            parameter.sub_(move)
        super().step()
        return loss


class Careless(torch.optim.SGD):
    """Takes a step by gradients that nobody has asked for."""

    def step(self, closure=None):
        return super().step()


def assert_as_by_hand(made, reference):
    """Hold a trained head against one that is given the same batches and closures that take the loss of each."""
    train_heads([made], Rows())
    rows = Rows()

    @torch.enable_grad()
    def backward(indices, epoch):
        features, targets = rows.take(indices, epoch)
        loss = reference.loss(reference.head(features), targets, features)
        reference.optimizer.zero_grad()
        loss.backward()
        return loss.detach()

    for epoch in range(reference.epochs):
        for indices in reference.sampler.indices(epoch).split(reference.batch_size):
            reference.optimizer.step(partial(backward, indices, epoch))
        reference.scheduler.step()
    for one, other in zip(made.head.parameters(), reference.head.parameters(), strict=True):
        assert torch.equal(one, other)


def limited_memory(parameters, lr, weight_decay):
    return torch.optim.LBFGS(parameters, lr=lr, max_iter=4)


@pytest.mark.parametrize("optimizer", [Sharp, limited_memory])
@pytest.mark.parametrize("loss", [CrossEntropyLoss, Reversing])
def test_an_optimizer_may_ask_for_a_batchs_loss_several_times(optimizer, loss):
    made, reference, plain = (
        run(LinearHead, loss, InstanceSampler(Rows().targets), optimizer=kind)
        for kind in (optimizer, optimizer, partial(torch.optim.SGD, momentum=0.0))
    )
    assert stack_key(made) is None
    assert_as_by_hand(made, reference)
    train_heads([plain], Rows())
    assert not torch.allclose(made.head.weight, plain.head.weight)


class Stubborn(torch.optim.SGD):
    """Takes no closure."""

    def step(self):
        return super().step()


def test_an_optimizer_without_a_closure_gets_gradients():
    plain = partial(torch.optim.SGD, momentum=0.9)
    made, reference = (
        run(LinearHead, CrossEntropyLoss, InstanceSampler(Rows().targets), optimizer=kind)
        for kind in (partial(Stubborn, momentum=0.9), plain)
    )
    assert_as_by_hand(made, reference)


def test_an_optimizer_that_asks_for_no_loss_is_refused():
    careless = run(LinearHead, CrossEntropyLoss, InstanceSampler(Rows().targets), optimizer=Careless)
    with pytest.raises(UsageError, match="`optimizer` Careless does not call the closure"):
        train_heads([careless], Rows())


DRAWING = {
    "head": {"head": Dropping, "loss": CrossEntropyLoss},
    "loss": {"head": LinearHead, "loss": Blurred},
    "optimizer": {"head": LinearHead, "loss": CrossEntropyLoss, "optimizer": Shaken},
}


@pytest.mark.parametrize("kind", DRAWING.values(), ids=DRAWING)
def test_what_parts_of_ones_own_draw_is_the_seeds_and_depends_on_nobody_else(kind):
    def made(settings, seed):
        found = run(**settings, sampler=InstanceSampler(Rows().targets))
        found.random_state = RandomState(seed, torch.device("cpu"))
        return found

    def learnt(*runs):
        train_heads(runs, Rows())
        return runs[-1].head.weight.tolist()

    alone, other = learnt(made(kind, 3)), learnt(made(kind, 4))
    before = torch.get_rng_state()
    company = [made(settings, 3) for settings in DRAWING.values()]
    torch.set_rng_state(before)
    beside = learnt(*company, made(kind, 3))
    torch.set_rng_state(before)
    assert alone == beside == learnt(made(kind, 3)) != other


def test_what_is_known_trains_without_a_random_state_of_its_own():
    drawn = []

    class Counting(RandomState):
        def drawn_from(self):
            drawn.append(self)
            return super().drawn_from()

    def trained(**options):
        one = run(LinearHead, CrossEntropyLoss, InstanceSampler(Rows().targets), **options)
        one.random_state = Counting(0, torch.device("cpu"))
        before = one.head.weight.detach().clone()
        train_heads([one], Rows())
        assert not torch.equal(one.head.weight, before)

    class Mine(torch.optim.AdamW):
        pass

    trained(optimizer=torch.optim.AdamW)
    assert drawn == []
    trained(optimizer=Mine)
    assert drawn


def test_heads_share_the_time_that_they_took():
    sampler = InstanceSampler(Rows().targets)
    runs = [run(LinearHead, LORTLoss, sampler) for _ in range(16)]
    started = time.perf_counter()
    train_heads(runs, Rows())
    assert 0 < sum(each.seconds for each in runs) < time.perf_counter() - started
    runs[0].seconds = 1000.0
    train_heads(runs[:1], Rows())
    assert runs[0].seconds > 1000


def test_on_a_gpu_that_computes_later_all_of_the_time_is_shared():
    assert loop._shares(torch.device("cpu"), [1.0, 3.0], 9.0) == [1.0, 3.0]  # the rest went into batches
    assert loop._shares(torch.device("cuda"), [1.0, 3.0], 20.0) == [5.0, 15.0]


def test_progress_counts_heads_and_parts_of_epochs():
    sampler, seen = InstanceSampler(Rows().targets), []
    kinds = [STACKED["lort"], STACKED["lort"], ALONE["head"]]
    train_heads([run(*kind, sampler, batch_size=8) for kind in kinds], Rows(), seen.append)
    batches = -(-sum(COUNTS) // 8)
    assert batches > 1
    assert seen == 3 * batches * [2 / batches, 1 / batches]  # long before the end of an epoch, and of all heads' step


class Watched(StackedSGD):
    """Notes how many there are at the same time."""

    alive: ClassVar = weakref.WeakSet()
    most = 0

    def __init__(self, runs):
        super().__init__(runs)
        Watched.alive.add(self)
        Watched.most = max(Watched.most, len(Watched.alive))


def test_heads_without_room_train_one_stack_after_the_other_and_learn_the_same(monkeypatch):
    def made():
        sampler = InstanceSampler(Rows().targets)
        kinds = [STACKED["lort"], STACKED["focal"], STACKED["lws"], ALONE["head"]]
        return [run(*kind, sampler, lr) for kind in kinds for lr in (0.01, 0.1)]

    at_once, in_rounds, seen = made(), made(), []
    train_heads(at_once, Rows())
    monkeypatch.setattr(loop, "StackedSGD", Watched)
    monkeypatch.setattr(loop, "ROUND_BYTES", 2 * (D + 1) * len(COUNTS) * 8)  # two linear heads
    train_heads(in_rounds, Rows(), seen.append)
    assert Watched.most == 1
    assert sum(seen) == pytest.approx(4 * 2 * 3)
    for one, other in zip(at_once, in_rounds, strict=True):
        for name, value in one.head.state_dict().items():
            assert torch.equal(value, other.head.state_dict()[name])
        assert other.seconds > 0


@pytest.mark.parametrize(
    ("classes", "batch_size", "most"), [(100, 64, 16), (8142, 64, 16), (8142, 2048, 4), (10**6, 512, 1)]
)
def test_a_cpu_takes_fewer_heads_at_once_where_their_logits_are_large(classes, batch_size, most):
    made = LinearHead(1, [1] * classes)
    sampler = InstanceSampler(torch.arange(2))
    alone = HeadRun(made, CrossEntropyLoss([1] * classes), None, None, sampler, batch_size, 1)
    assert loop._heads_per_stack(alone) == most


def test_a_stack_of_any_number_of_heads_learns_the_same(monkeypatch):
    def trained():
        sampler = InstanceSampler(Rows().targets)
        runs = [run(*STACKED[name], sampler, lr) for name in ("ce", "disalign") for lr in (0.01, 0.03, 0.1)]
        train_heads(runs, Rows())
        return [value for each in runs for value in each.head.state_dict().values()]

    at_once = trained()
    monkeypatch.setattr(loop, "LOGITS_BYTES", 2 * 16 * len(COUNTS) * 8)  # of two heads
    torch.testing.assert_close(trained(), at_once, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("classes", "features", "batch_size", "most"),
    [(10**6, 2048, 512, 1), (8142, 2048, 512, 16), (8142, 64, 512, 64)],
)
def test_a_gpu_takes_as_many_heads_at_once_as_have_room(classes, features, batch_size, most):
    with torch.device("meta"):
        head = LinearHead(features, [1] * classes)
    sampler = InstanceSampler(torch.arange(2))
    alone = HeadRun(head, CrossEntropyLoss([1] * classes), None, None, sampler, batch_size, 1)
    assert loop._heads_per_stack(alone) == most
