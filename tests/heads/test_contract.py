"""What every head promises."""

from collections.abc import Callable
from functools import partial
from math import inf, nan
from typing import Any

import pytest
import torch
from float_arguments import float_arguments
from torch._subclasses import FakeTensorMode

from lt_lightning import heads
from lt_lightning.errors import UsageError
from lt_lightning.heads import (
    AffineHead,
    CosineHead,
    DisAlignHead,
    Head,
    LinearHead,
    LogitAdjustmentHead,
    LWSHead,
    MaxNormHead,
    NCMHead,
    TauNormHead,
)

Factory = Callable[[int, list[int]], Head]


def with_means(in_features: int, class_counts: list[int], **options: Any) -> NCMHead:
    head = NCMHead(in_features, class_counts, **options)
    head.means.copy_(torch.linspace(-1, 2, head.means.numel()).view_as(head.means))
    return head


HEADS: dict[str, Factory] = {
    "linear": LinearHead,
    "reset": partial(LinearHead, reset=True),
    "cosine": CosineHead,
    "cosine_learnable": partial(CosineHead, learnable_scale=True),
    "lws": LWSHead,
    "tau_norm": TauNormHead,
    "max_norm": MaxNormHead,
    "logit_adjustment": LogitAdjustmentHead,
    "disalign": DisAlignHead,
    "ncm": with_means,
    "ncm_euclidean": partial(with_means, metric="euclidean"),
    "ncm_centred": partial(with_means, metric="euclidean", centre=True),
}
REBALANCING = {"tau_norm", "logit_adjustment", "ncm", "ncm_euclidean", "ncm_centred"}
NOT_LINEAR = {"cosine", "cosine_learnable", "disalign", "ncm", "ncm_centred"}
every = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
COUNTS = [500, 20, 1]


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


KINDS = sorted({type(make(4, COUNTS)) for make in HEADS.values()}, key=str)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in float_arguments(kind)])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_number_that_is_none_is_refused_by_its_name(kind: Factory, name: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"^`{name}` must .*, but got {value}\.$"):
        kind(4, COUNTS, **{name: value})


@every
def test_features_of_another_shape_are_refused(make: Factory) -> None:
    head = make(4, COUNTS)
    for wrong in (randn(3, 5), randn(4), randn(2, 3, 4)):
        for give in (head, head.predict):
            with pytest.raises(UsageError, match=r"^`features` must have shape \(N, 4\), but got \("):
                give(wrong)


@every
@pytest.mark.filterwarnings("ignore:`torch.jit")  # newer versions call it deprecated; its warnings of traces are errors
def test_heads_are_compiled_and_traced_in_one_piece(make: Factory) -> None:
    head, features = make(4, COUNTS), randn(5, 4)
    expected = head.predict(features)
    torch.compiler.reset()  # else the heads of all cases count as one that is compiled again and again
    compiled = torch.compile(head.predict, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(features), expected)
    traced = torch.jit.trace(head, randn(2, 4))
    torch.testing.assert_close(traced(features), head(features))


def test_every_public_head_is_here() -> None:
    here = {type(make(4, COUNTS)) for make in HEADS.values()}
    assert {getattr(heads, name) for name in heads.__all__} == here | {Head, AffineHead}


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("linear", {"weight", "bias"}),
        ("cosine", {"weight"}),
        ("cosine_learnable", {"weight", "scale"}),
        ("lws", {"scales"}),
        ("tau_norm", set()),
        ("max_norm", {"weight", "bias"}),
        ("logit_adjustment", set()),
        ("disalign", {"scales", "offsets", "confidence.weight", "confidence.bias"}),
        ("ncm", set()),
    ],
)
def test_what_trains(name: str, trained: set[str]) -> None:
    head = HEADS[name](4, COUNTS)
    head.init_from(randn(3, 4), randn(3))
    assert {key for key, parameter in head.named_parameters() if parameter.requires_grad} == trained
    if trained:
        head(randn(5, 4)).square().sum().backward()
        assert {key for key, parameter in head.named_parameters() if parameter.grad is not None} == trained


@pytest.mark.parametrize(("name", "expected"), [(name, name in REBALANCING) for name in HEADS])
def test_rebalances_is_truthful(name: str, expected: bool) -> None:
    assert HEADS[name](4, COUNTS).rebalances is expected


@every
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_logits_are_fp32_at_least(make: Factory, dtype: torch.dtype, expected: torch.dtype) -> None:
    head = make(4, COUNTS)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(randn(2, 4).to(dtype)).dtype == expected
        assert head.predict(randn(2, 4).to(dtype)).dtype == expected


@every
def test_autocast_changes_nothing(make: Factory) -> None:
    head, features = make(64, COUNTS), randn(5, 64)
    expected = head.predict(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head.predict(features), expected)


@every
def test_a_head_in_half_precision_still_gives_fp32_logits(make: Factory) -> None:
    head = make(4, COUNTS).to(torch.bfloat16)
    found = head.predict(randn(2, 4).to(torch.bfloat16))
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("name", sorted(HEADS.keys() - NOT_LINEAR))
def test_a_head_in_half_precision_has_a_linear_form_in_half_precision(name: str) -> None:
    head, features = HEADS[name](4, COUNTS).to(torch.bfloat16), randn(2, 4).to(torch.bfloat16)
    torch.testing.assert_close(head.to_linear()(features).float(), head.predict(features), rtol=0.05, atol=0.1)


@every
def test_nothing_waits_for_the_host(make: Factory) -> None:
    # A fake tensor has no values: anything that read one would raise.
    with FakeTensorMode():
        head = make(4, COUNTS)
        features = torch.empty(2, 4)
        assert head(features).shape == head.predict(features).shape == (2, 3)
        head.project_()


@every
@pytest.mark.parametrize(("in_features", "classes"), [(1, 2), (3, 8142)])
def test_shapes(make: Factory, in_features: int, classes: int) -> None:
    head = make(in_features, [1] * classes)
    assert head(randn(1, in_features)).shape == (1, classes)


@every
def test_state_survives_a_checkpoint(make: Factory) -> None:
    head, other = make(4, COUNTS), make(4, COUNTS)
    head.init_from(randn(3, 4), randn(3))
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.predict(randn(2, 4)), head.predict(randn(2, 4)))
    assert {"means" if isinstance(head, NCMHead) else "weight"} <= head.state_dict().keys()


@every
def test_a_classifier_of_other_shape_is_refused(make: Factory) -> None:
    head = make(4, COUNTS)
    name = type(head).__name__
    with pytest.raises(UsageError, match=rf"`weight` .* must have shape \(3, 4\) .*`{name}`, but got \(4, 3\)"):
        head.init_from(randn(4, 3), randn(3))
    with pytest.raises(UsageError, match=rf"`bias` .* must have shape \(3,\) for `{name}`, but got \(4,\)"):
        head.init_from(randn(3, 4), randn(4))


@pytest.mark.parametrize("name", sorted(HEADS.keys() - NOT_LINEAR))
@pytest.mark.parametrize("bias", [True, False])
def test_the_linear_layer_gives_the_logits_of_predict(name: str, bias: bool) -> None:
    head = HEADS[name](4, COUNTS).double()
    head.init_from(randn(3, 4).double(), randn(3).double() if bias else None)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(1 + torch.rand(len(parameter), generator=torch.Generator().manual_seed(1))[0])
    head.project_()
    features = randn(5, 4).double()
    before = torch.get_rng_state()
    layer = head.to_linear()
    assert torch.equal(torch.get_rng_state(), before)  # exporting must not disturb a run
    expected = head.predict(features)
    torch.testing.assert_close(layer(features), expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(7.0)
    assert torch.equal(head.predict(features), expected)  # copies, not views


@pytest.mark.parametrize("name", sorted(NOT_LINEAR))
def test_others_say_why_they_equal_no_linear_layer(name: str) -> None:
    head = HEADS[name](4, COUNTS)
    with pytest.raises(UsageError, match=rf"`{type(head).__name__}` .*equals no plain linear layer: \w+ \w+"):
        head.to_linear()


@every
def test_the_docstring_says_what_trains(make: Factory) -> None:
    head = make(4, COUNTS)
    trains = any(parameter.requires_grad for parameter in head.parameters())
    said = " ".join((type(head).__doc__ or "").split())
    assert ("Trains nothing" in said) is not trains
    assert "Trains " in said


@every
def test_shapes_are_known_without_values(make: Factory) -> None:
    with torch.device("meta"):
        logits = make(4, COUNTS)(torch.empty(5, 4))
    assert logits.is_meta
    assert logits.shape == (5, 3)
