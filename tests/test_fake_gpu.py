"""On a GPU nothing that lies on the CPU gets into a computation: checked on tensors that are on a GPU by name alone.

PyTorch works out shape, type and device of such a tensor without its values, and refuses an operation on two devices
as a GPU would. No machine with one is needed; gradients by autograd are, and have tests that ask for one.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pytest
import torch
from public_metrics import METRICS
from torch import Tensor, nn
from torch._subclasses import fake_impls
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lt_lightning import heads, losses
from lt_lightning.backbones import ResNet20
from lt_lightning.comparing import training
from lt_lightning.data.crop_table import CropTable
from lt_lightning.errors import UsageError
from lt_lightning.features import Features
from lt_lightning.functional import augment
from lt_lightning.functional.precision import widest_float
from lt_lightning.modules import RepresentationModule
from lt_lightning.retraining.runs import HeadRun
from lt_lightning.retraining.slopes import slopes_of
from lt_lightning.retraining.slopes.autograd import AutogradSlopes
from lt_lightning.retraining.stacked_sgd import StackedSGD, stack_key
from lt_lightning.samplers import InstanceSampler

COUNTS = [50, 20, 5, 3]
SAMPLER = InstanceSampler(torch.arange(4))
GPU = torch.device("cuda", 0)
READ = torch.ops.aten._local_scalar_dense.default


def public(module, base):
    """The classes that a part's face shows and that can be made."""
    found = [getattr(module, name) for name in module.__all__]
    return [one for one in found if inspect.isclass(one) and issubclass(one, base) and not inspect.isabstract(one)]


LOSSES = public(losses, losses.Loss)
HEADS = public(heads, heads.Head)


@cache
def indexes_without_driver() -> bool:
    """Torch 2.9 does not."""
    try:
        with FakeTensorMode():
            torch.ones(3, device=GPU)[torch.zeros(2, dtype=torch.int64, device=GPU)]
    except RuntimeError:
        return False
    return True


@pytest.fixture(autouse=True)
def _no_driver_needed() -> None:
    if not indexes_without_driver():
        pytest.skip("this version of torch needs a driver to index tensors without values")


@pytest.fixture
def gpu() -> Iterator[None]:
    with FakeTensorMode(), torch.no_grad():
        yield


def moved(module):
    """The module with tensors of the same shapes on the GPU; call it where the mode holds."""
    for part in module.modules():
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else alike(buffer)
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = nn.Parameter(alike(value), value.requires_grad)
    for name in getattr(module, "_defaults", {}):  # states of a metric
        setattr(module, name, alike(getattr(module, name)))
    return module


def alike(value):
    return torch.empty(value.shape, dtype=value.dtype, device=GPU)


def batch(classes=4, width=6) -> tuple[Tensor, Tensor, Tensor]:
    targets = torch.zeros(8, dtype=torch.int64, device=GPU)
    return torch.randn(8, classes, device=GPU), targets, torch.randn(8, width, device=GPU)


@contextmanager
def reading(monkeypatch) -> Iterator[None]:
    """Let numbers be read, as may be once before training; what is read is 1."""
    with monkeypatch.context() as patch:
        patch.setitem(fake_impls.op_implementations_dict, READ, lambda mode, func, value: 1)
        yield


def test_two_devices_are_refused(gpu):
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(3, device=GPU) + torch.ones(3)


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 3.0, 4.0]], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
def test_losses(kind, weight):
    loss = kind(COUNTS)
    with suppress(UsageError):  # some take no class weights
        loss.set_weight(weight)
    with FakeTensorMode(), torch.no_grad():
        logits, targets, features = batch()
        moved(loss)
        assert loss(logits, targets, features).device == GPU
        assert loss(logits.bfloat16(), targets, features.bfloat16()).dtype == torch.float32
        assert loss.probabilities(logits).device == GPU


@pytest.mark.parametrize("kind", HEADS, ids=lambda kind: kind.__name__)
def test_heads(kind):
    head = kind(6, COUNTS)
    with FakeTensorMode(), torch.no_grad():
        _, _, features = batch()
        moved(head)
        for device in ("cpu", GPU):  # where a checkpoint's classifier may lie
            if type(head).init_from is not heads.Head.init_from:
                head.init_from(torch.randn(4, 6, device=device), torch.randn(4, device=device))
        head.project_()
        assert head(features).device == head.predict(features).device == GPU


def figures_of(computed):
    return list(computed.values()) if isinstance(computed, dict) else [computed]


@pytest.mark.parametrize(("make", "feed"), METRICS.values(), ids=METRICS)
def test_metrics(make, feed, monkeypatch):
    metric = make(4)
    with FakeTensorMode(), torch.no_grad():
        logits, targets, _ = batch()
        moved(metric)
        feed(metric, logits, targets)  # reads nothing
        with reading(monkeypatch):
            found = figures_of(metric.compute())
        assert {value.device for value in found if isinstance(value, Tensor)} == {GPU}


class NoFloat64(TorchDispatchMode):
    """Refuse numbers of 64 bits on the GPU, as Apple's does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for value in tree_leaves(found):
            if isinstance(value, Tensor) and value.device == GPU and value.dtype == torch.float64:
                raise TypeError(f"{func} gives float64")
        return found


@pytest.fixture
def without_float64(monkeypatch) -> None:
    def widest(device):
        return torch.float32 if device.type == "cuda" else torch.float64

    monkeypatch.setattr(widest_float, "__code__", widest.__code__)  # whoever has imported it has this one too


def narrow(module):
    """The module as it lies where there is no float64."""
    for name, buffer in module._buffers.items():
        if buffer is not None and buffer.dtype == torch.float64:
            module._buffers[name] = buffer.float()
    for name, value in getattr(module, "_defaults", {}).items():
        if isinstance(value, Tensor) and value.dtype == torch.float64:
            setattr(module, name, value.float())
    return module


@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
def test_losses_without_float64(kind, without_float64):
    loss = narrow(kind(COUNTS))
    with FakeTensorMode(), torch.no_grad():
        moved(loss)
        with NoFloat64():
            logits, targets, features = batch()
            assert loss(logits, targets, features).dtype == torch.float32
            loss.probabilities(logits)


@pytest.mark.parametrize(("make", "feed"), METRICS.values(), ids=METRICS)
def test_metrics_without_float64(make, feed, without_float64, monkeypatch):
    metric = narrow(make(4))
    with FakeTensorMode(), torch.no_grad():
        moved(metric)
        with NoFloat64():
            logits, targets, _ = batch()
            feed(metric, logits, targets)
            with reading(monkeypatch):
                figures = figures_of(metric.compute())
    assert all(figure.device.type == "cuda" and figure.dtype != torch.float64 for figure in figures)


def run_of(head, loss):
    trained = [value for value in head.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return HeadRun(head, loss, optimizer, schedule, SAMPLER, 8, 2)


TRAINED = [kind for kind in HEADS if any(value.requires_grad for value in kind(6, COUNTS).parameters())]
BY_HAND = [kind for kind in LOSSES if type(slopes_of([kind(COUNTS)], torch.zeros(1))) is not AutogradSlopes]
"""Those whose slopes take no autograd, which wants a real GPU."""


@pytest.mark.parametrize("loss", BY_HAND, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("head", TRAINED, ids=lambda kind: kind.__name__)
def test_stacks(head, loss, monkeypatch):
    runs = [run_of(head(6, COUNTS), loss(COUNTS)) for _ in range(2)]
    with FakeTensorMode():
        for run in runs:
            moved(run.head)
            moved(run.loss)
        with reading(monkeypatch):
            runs = [run_of(run.head, run.loss) for run in runs]
            assert stack_key(runs[0]) is not None
            stack = StackedSGD(runs)
        _, targets, features = batch()
        stack.step(features, targets)  # reads nothing
        assert {value.device for value in stack.heads.values} == {GPU}
        with reading(monkeypatch):
            stack.end_epoch()
            stack.write_back()


class NoWaitingCopies(TorchDispatchMode):
    """Refuse a copy to the GPU that is waited for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        options = kwargs or {}
        found = func(*args, **options)
        if func is torch.ops.aten._to_copy.default and (found.device == GPU) != (args[0].device == GPU):
            assert options.get("non_blocking"), "a copy that is waited for"
        return found


@pytest.mark.parametrize("held", ["cpu", GPU], ids=["beside it", "on it"])
def test_features_come_to_the_gpu_without_waiting(held, monkeypatch):
    monkeypatch.setattr(training, "on_device", lambda features, device: features)
    with FakeTensorMode(), torch.no_grad():
        values, targets = torch.randn(2, 50, 6, device=held), torch.zeros(50, dtype=torch.int64, device=held)
        rows = training.ShownRows(Features(values, targets, views=2), GPU)
        indices = torch.arange(8)
        rows.take(indices, 0)  # an epoch's views are sent at its first batch
        with NoWaitingCopies():
            features, classes = rows.take(indices, 0)
        assert features.device == classes.device == GPU


def test_crops(gpu):
    held = torch.zeros(50, 3, 32, 32, dtype=torch.uint8)
    drawn = CropTable(held, 4, True, GPU).draw(torch.zeros(8, dtype=torch.int64, device=GPU), None)
    assert drawn.device == GPU
    for images in (drawn, drawn.contiguous()):
        changed = augment.random_horizontal_flip(augment.random_crop(images, 4))
        assert augment.normalize(changed, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).device == GPU


def test_a_whole_network():
    module = RepresentationModule(COUNTS, ResNet20())
    with FakeTensorMode(), torch.no_grad():
        moved(module)
        assert module(torch.randn(8, 3, 32, 32, device=GPU)).device == GPU
