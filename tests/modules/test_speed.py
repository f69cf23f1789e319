"""Compilation, fused optimisers."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from torch import nn

from lt_lightning.errors import UsageError
from lt_lightning.modules.speed import check_accumulation, compile_, in_memory_format, prefer_fused

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Compiled(nn.Module):
    """Keeps what it was to be compiled with."""

    options = None

    def compile(self, **options):
        self.options = options


def test_the_backbone_is_compiled_in_the_mode_asked_for():
    part = Compiled()
    compile_(part, "none")
    assert part.options is None
    compile_(part, "reduce-overhead")
    assert part.options == {"mode": "reduce-overhead", "dynamic": False}


@pytest.fixture
def compiler():
    """torch's, with nothing compiled yet, and its settings as they were afterwards."""
    torch._dynamo.reset()
    limit = torch._dynamo.config.recompile_limit
    yield torch._dynamo.config
    torch._dynamo.config.recompile_limit = limit
    torch._dynamo.reset()


def test_every_size_of_batch_of_a_pipelines_stages_is_compiled(compiler):
    made = []

    def count(graph, _):
        made.append(graph)
        return graph.forward

    class Counted(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layer = nn.Linear(width, 2)

        def forward(self, images):
            return self.layer(images) + 1

        def compile(self, mode, dynamic):
            super().compile(backend=count, dynamic=dynamic)

    for width in (2, 3):
        network = Counted(width)
        compile_(network, "default")
        for size in range(2, 8):
            network(torch.zeros(size, width))
    assert len(made) == 12


def test_a_higher_limit_of_the_users_stays(compiler):
    compiler.recompile_limit = 1000
    compile_(Compiled(), "default")
    assert compiler.recompile_limit == 1000


def run_on(device, batches):
    strategy = SimpleNamespace(root_device=torch.device(device))
    return SimpleNamespace(accumulate_grad_batches=batches, strategy=strategy)


def test_cuda_graphs_of_a_network_that_trains_take_one_batch_a_step():
    network = nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"`model.compile` reduce-overhead .* `trainer.accumulate_grad_batches` 2 "):
        check_accumulation(network, "reduce-overhead", run_on("cuda", 2))
    check_accumulation(network, "reduce-overhead", run_on("cuda", 1))
    check_accumulation(network, "default", run_on("cuda", 2))
    check_accumulation(network, "max-autotune", run_on("cpu", 2))  # where there are no such graphs
    check_accumulation(network.requires_grad_(False), "reduce-overhead", run_on("cuda", 2))


def test_it_is_asked_before_anything_trains(monkeypatch, trainer, digits, stage1_module):
    asked = []
    monkeypatch.setattr("lt_lightning.modules.base.check_accumulation", lambda *given: asked.append(given))
    data = digits()
    module, run = stage1_module(data), trainer(accumulate_grad_batches=3, limit_train_batches=1)
    run.fit(module, datamodule=data)
    assert asked == [(module.backbone, "none", run)]


def test_an_unknown_mode_is_refused(digits, stage1_module):
    with pytest.raises(UsageError, match=r"`model.compile` must be one of none, default, .*, but got 'fast'"):
        stage1_module(digits(), compile="fast")


class OnGpu(nn.Parameter):
    """A parameter that says it is on a GPU."""

    is_cuda = True


def gpu_parameters():
    return [OnGpu(torch.zeros(2))]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_optimisers_on_a_gpu_are_fused_unless_told(kind):
    def fused(parameters, **options):
        optimizer = kind(parameters, lr=0.1, **options)
        prefer_fused(optimizer)
        return optimizer.param_groups[0]["fused"]

    assert fused(gpu_parameters()) is True
    assert fused(gpu_parameters(), foreach=False) is None
    assert fused(gpu_parameters(), fused=False) is False
    assert fused(gpu_parameters(), differentiable=True) is None
    assert fused([nn.Parameter(torch.zeros(2))]) is None


def test_other_optimisers_stay_as_they_are():
    class Mine(torch.optim.SGD):
        pass

    for kind in (Mine, torch.optim.RMSprop):
        optimizer = kind(gpu_parameters(), lr=0.1)
        prefer_fused(optimizer)
        assert optimizer.param_groups[0].get("fused") is None


def test_tests_may_train_on_the_cpu_where_there_is_a_gpu(monkeypatch, trainer):
    """Lightning warns of it, and here warnings are errors."""
    monkeypatch.setattr(CUDAAccelerator, "is_available", lambda: True)
    assert trainer().strategy.root_device.type == "cpu"


@needs_gpu
@pytest.mark.filterwarnings("ignore")  # torch's compiler has much to say
def test_a_run_with_cuda_graphs_ends_near_the_other(trainer, digits, stage1_module):
    """Over epochs with validation, whose batches, and the last one, have sizes of their own."""
    weights, accuracy = [], []
    for mode in ("none", "reduce-overhead"):
        torch.manual_seed(0)
        data = digits(eval_batch_size=50)
        module = stage1_module(data, compile=mode, tf32=False)
        run = trainer(3, accelerator="gpu", devices=1)
        run.fit(module, datamodule=data)
        weights.append(module.head.weight.detach())
        accuracy.append(run.callback_metrics["val/all"].cpu())
    torch.testing.assert_close(*weights, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(*accuracy, rtol=0, atol=0.05)


@needs_gpu
def test_a_fused_run_ends_near_the_other(trainer, digits, stage1_module):
    weights = []
    for fused in (None, False):
        torch.manual_seed(0)
        data = digits()

        def sgd(parameters, fused=fused):
            return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, fused=fused)

        module = stage1_module(data, optimizer=sgd, tf32=False)
        run = trainer(accelerator="gpu", devices=1)
        run.fit(module, datamodule=data)
        assert run.optimizers[0].param_groups[0]["fused"] is (fused is None)
        weights.append(module.head.weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_come_in_one_memory_format_and_other_inputs_as_they_are(channels_last):
    wanted, other = (torch.channels_last, torch.contiguous_format)[:: 1 if channels_last else -1]
    images = torch.rand(2, 3, 4, 5)
    for given in (images.contiguous(memory_format=wanted), images.contiguous(memory_format=other)):
        found = in_memory_format(given, channels_last)
        assert found.is_contiguous(memory_format=wanted)
        assert torch.equal(found, images)
    for as_it_is in (images.contiguous(memory_format=wanted), torch.rand(5, 2).T, torch.rand(2, 3, 4, 5, 6)):
        assert in_memory_format(as_it_is, channels_last) is as_it_is
