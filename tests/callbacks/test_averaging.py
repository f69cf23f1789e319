"""The moving average of the weights."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    EMAWeightAveraging,
    ModelCheckpoint,
    ModelPruning,
    StochasticWeightAveraging,
)

from lt_lightning.callbacks import WeightEMA
from lt_lightning.callbacks.averaging import TRAINING_WEIGHTS
from lt_lightning.checkpoints import read
from lt_lightning.errors import UsageError
from lt_lightning.heads import MaxNormHead


class Weights(Callback):
    """Keeps the weights after every optimiser step, and those that validation sees."""

    def __init__(self):
        self.steps, self.validated, self.first = [], [], None

    def on_train_start(self, trainer, pl_module):
        self.first = copied(pl_module)

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.steps.append(copied(pl_module))

    def on_validation_epoch_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self.validated.append(copied(pl_module))


def copied(module):
    return {
        name: value.clone() for name, value in module.state_dict().items() if name.startswith(("backbone.", "head."))
    }


def averages(first, steps, decay):
    """After each step, by the definition, one number at a time."""
    average, found = first, []
    for number, weights in enumerate(steps, 1):
        share = min(decay, (1 + number) / (10 + number))
        average = {
            name: share * average[name] + (1 - share) * value if value.is_floating_point() else value
            for name, value in weights.items()
        }
        found.append(average)
    return found


def assert_close(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.fixture
def run(trainer, digits, stage1_module, tmp_path):
    """Trains on the digits with a moving average; gives module, trainer and what was seen on the way."""

    def make(epochs=3, decay=0.9, ckpt_path=None, callbacks=(), folder="first", before=(), prepare=None, **options):
        torch.manual_seed(0)
        data, weights = digits(), Weights()
        module = stage1_module(data)
        if prepare is not None:
            prepare(module)
        saving = ModelCheckpoint(tmp_path / folder, save_last=True, save_top_k=-1, filename="{epoch}")
        callbacks = [*before, WeightEMA(decay), weights, saving, *callbacks]
        options = {"enable_checkpointing": True, "callbacks": callbacks} | options
        started = trainer(epochs, **options)
        started.fit(module, datamodule=data, ckpt_path=ckpt_path)
        return module, started, weights

    return make


def test_what_is_validated_saved_and_left_is_the_average(run, tmp_path):
    module, _, weights = run()
    expected = averages(weights.first, weights.steps, 0.9)
    assert len(expected) == 15
    for epoch, validated in enumerate(weights.validated):
        assert_close(validated, expected[5 * epoch + 4])
    assert_close(copied(module), expected[-1])
    saved = torch.load(tmp_path / "first/last.ckpt", weights_only=True)
    assert_close({name: saved["state_dict"][name] for name in expected[-1]}, expected[-1])
    averaged = {name: value for name, value in weights.steps[-1].items() if value.is_floating_point()}
    assert_close(saved[TRAINING_WEIGHTS], averaged)
    assert saved["state_dict"]._metadata == module.state_dict()._metadata  # versions, for which some modules ask
    assert any(not torch.equal(weights.steps[-1][name], value) for name, value in expected[-1].items())


def test_statistics_of_batch_normalisation_are_averaged_and_whole_numbers_are_not(run):
    module, _, weights = run(epochs=1)
    expected = averages(weights.first, weights.steps, 0.9)
    left = copied(module)
    assert_close(left, expected[-1])
    (counted,) = {int(value) for name, value in left.items() if name.endswith("num_batches_tracked")}
    assert counted == 5
    names = [name for name in left if name.endswith("running_var")]
    assert names
    assert not torch.equal(left[names[0]], weights.steps[-1][names[0]])


def test_metrics_are_those_of_the_average(run, trainer, digits):
    module, _, _ = run()
    during = module.evaluation["val"]
    data = digits()
    trainer(1).validate(module, datamodule=data, verbose=False)
    assert module.evaluation["val"]["per_class"] == during["per_class"]


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(run, tmp_path):
    whole, _, _ = run(epochs=3)
    resumed, _, seen = run(epochs=3, ckpt_path=tmp_path / "first/epoch=0.ckpt", folder="second")
    assert len(seen.steps) == 10
    for name, value in copied(whole).items():
        assert torch.equal(value, copied(resumed)[name]), name


@pytest.mark.parametrize(  # after two batches of the second epoch's five
    ("step", "options"), [(7, {}), (4, {"accumulate_grad_batches": 2}), (7, {"precision": "bf16-true"})]
)
def test_a_run_resumed_in_mid_epoch_ends_where_an_uninterrupted_one_does(run, tmp_path, step, options):
    def started(folder, ckpt_path=None):
        often = ModelCheckpoint(
            tmp_path / f"{folder} often", every_n_train_steps=step, save_top_k=-1, filename="{step}"
        )
        return run(ckpt_path=ckpt_path, callbacks=[often], folder=folder, **options)

    whole, ended, weights = started("first")
    taken = tmp_path / f"first often/step={step}.ckpt"
    saved = torch.load(taken, weights_only=True)
    assert saved["global_step"] == step
    for name, value in saved[TRAINING_WEIGHTS].items():
        assert torch.equal(value, weights.steps[6][name]), name
    resumed, ended_again, seen = started("second", ckpt_path=taken)
    assert ended_again.global_step == ended.global_step
    assert len(seen.steps) == 15 - 7
    for name, value in copied(whole).items():
        assert torch.equal(value, copied(resumed)[name]), name
    last = [torch.load(tmp_path / folder / "last.ckpt", weights_only=True) for folder in ("first", "second")]
    for name, value in last[0][TRAINING_WEIGHTS].items():
        assert torch.equal(value, last[1][TRAINING_WEIGHTS][name]), name
    for name, value in seen.validated[0].items():  # of the epoch that was cut in two
        assert torch.equal(value, weights.validated[1][name]), name


def test_validation_leaves_the_average_as_it_was(run):
    """Also where the weights have fewer digits than it."""
    often, seldom = (run(folder=f"every {n}", precision="bf16-true", check_val_every_n_epoch=n)[0] for n in (1, 3))
    for name, value in copied(often).items():
        assert torch.equal(value, copied(seldom)[name]), name


def test_a_run_without_average_is_taken_up(run, trainer, digits, stage1_module, tmp_path):
    data = digits()
    plain, started = stage1_module(data), trainer(1)
    started.fit(plain, datamodule=data)
    started.save_checkpoint(tmp_path / "plain.ckpt")
    assert TRAINING_WEIGHTS not in torch.load(tmp_path / "plain.ckpt", weights_only=True)
    _, _, weights = run(epochs=2, ckpt_path=tmp_path / "plain.ckpt")
    assert_close(weights.first, copied(plain))


def test_stage_2_and_test_start_from_the_average(run, trainer, digits, stage2_module, tmp_path):
    module, started, _ = run()
    read_back = read(tmp_path / "first/last.ckpt").tensors
    assert_close({name: read_back[name] for name in copied(module)}, copied(module))
    data = digits()
    second = stage2_module(data, tmp_path / "first/last.ckpt")
    trainer(1).fit(second, datamodule=data)
    for name, value in module.backbone.state_dict().items():
        assert torch.equal(second.backbone.state_dict()[name], value), name
    # With the callback in the trainer, as a configuration has it, and without `fit`.
    other = trainer(1, callbacks=[WeightEMA(), ModelCheckpoint(tmp_path / "unused")], enable_checkpointing=True)
    other.test(module, datamodule=data, ckpt_path=tmp_path / "first/last.ckpt", verbose=False)
    assert module.evaluation["test"]["per_class"]["total"] == [50] * 10
    assert started.global_step == 15


def test_an_interrupted_run_leaves_the_average(run):
    class Stop(Callback):
        def on_validation_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                raise RuntimeError("stopped")

    weights = Weights()
    module = []

    class Keep(Callback):
        def on_train_start(self, trainer, pl_module):
            module.append(pl_module)

    with pytest.raises(RuntimeError, match="stopped"):
        run(callbacks=(weights, Keep(), Stop()), num_sanity_val_steps=0)
    assert_close(copied(module[0]), averages(weights.first, weights.steps, 0.9)[-1])


def test_gradient_accumulation_moves_the_average_once_a_step(run):
    module, started, weights = run(epochs=2, accumulate_grad_batches=5)
    assert started.global_step == 2
    assert_close(copied(module), averages(weights.first, weights.steps[4::5], 0.9)[-1])


def test_early_steps_move_the_average_more():
    average = WeightEMA(0.99)
    assert average.decay_at(1) == pytest.approx(2 / 11)
    assert average.decay_at(10_000) == 0.99
    assert average.diagnostics == {"weight_ema": {"decay": 0.99}}


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decay_out_of_range_is_refused(decay):
    with pytest.raises(UsageError, match="`decay` of `WeightEMA` must be at least 0 and below 1, but got"):
        WeightEMA(decay)


def test_checkpoints_of_weights_alone_are_refused(trainer, digits, stage1_module, tmp_path):
    data = digits()
    callbacks = [WeightEMA(), ModelCheckpoint(tmp_path, save_weights_only=True)]
    started = trainer(1, enable_checkpointing=True, callbacks=callbacks)
    with pytest.raises(UsageError, match="`save_weights_only` of `ModelCheckpoint` cannot be true beside `WeightEMA`"):
        started.fit(stage1_module(data), datamodule=data)


@pytest.mark.filterwarnings("ignore:The provided params to be frozen already exist:UserWarning")  # batch normalisation
@pytest.mark.parametrize("place", ["before", "callbacks"])
def test_what_is_unfrozen_later_is_averaged_from_then_on(run, tmp_path, place):
    module, _, weights = run(**{place: [BackboneFinetuning(unfreeze_backbone_at_epoch=1)]})
    # Weights that stand still are their own average, so that it makes no difference when a parameter joined in.
    expected = averages(weights.first, weights.steps, 0.9)
    still = [name for name, value in weights.first.items() if torch.equal(value, weights.steps[4][name])]
    joined = [name for name in still if not torch.equal(weights.first[name], weights.steps[-1][name])]
    assert len(joined) > 1
    for epoch, validated in enumerate(weights.validated):
        assert_close(validated, expected[5 * epoch + 4])
    assert_close(copied(module), expected[-1])
    saved = torch.load(tmp_path / "first/last.ckpt", weights_only=True)
    assert_close({name: saved["state_dict"][name] for name in expected[-1]}, expected[-1])
    for name in joined:
        assert torch.equal(saved[TRAINING_WEIGHTS][name], weights.steps[-1][name]), name


@pytest.mark.filterwarnings("ignore:The provided params to be frozen already exist:UserWarning")
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_run_that_unfreezes_is_resumed_with_its_weights(run, tmp_path, epoch):
    """Also those that an earlier epoch has unfrozen; they train again before they are asked for."""
    whole, _, weights = run(callbacks=[BackboneFinetuning(unfreeze_backbone_at_epoch=1)])
    again = {"callbacks": [BackboneFinetuning(unfreeze_backbone_at_epoch=1)], "folder": "second"}
    resumed, _, seen = run(ckpt_path=tmp_path / f"first/epoch={epoch}.ckpt", **again)
    assert_close(seen.first, weights.steps[5 * epoch + 4])
    assert_close(seen.validated[-1], copied(resumed))
    assert_close(copied(resumed), copied(whole))


@pytest.mark.parametrize("other", [StochasticWeightAveraging(0.01), EMAWeightAveraging()])
def test_an_average_of_lightnings_beside_it_is_refused(trainer, digits, stage1_module, other):
    data = digits()
    started = trainer(3, callbacks=[WeightEMA(), other])
    with pytest.raises(UsageError, match=rf"^`{type(other).__name__}` does not go with `WeightEMA`: .*; leave"):
        started.fit(stage1_module(data), datamodule=data)
    assert started.global_step == 0


def test_pruning_is_refused(trainer, digits, stage1_module):
    data = digits()
    started = trainer(1, callbacks=[ModelPruning("l1_unstructured", amount=0.5), WeightEMA()])
    with pytest.raises(UsageError, match="`ModelPruning` does not go with `WeightEMA`"):
        started.fit(stage1_module(data), datamodule=data)


def test_a_buffer_that_is_replaced_is_saved_as_it_was_validated(run, tmp_path):
    class Centring(torch.nn.Module):
        """Puts a new tensor in its buffer's place at every step."""

        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(8))

        def forward(self, features):
            if self.training:
                self.mean = 0.5 * self.mean + features.detach().float().mean(0)
            return features

    def centred(module):
        module.backbone.add_module("centring", Centring())
        module.backbone.register_forward_hook(lambda backbone, _, features: backbone.centring(features))

    module, _, weights = run(epochs=2, prepare=centred)
    kept = torch.load(tmp_path / "first" / "last.ckpt", weights_only=False)["state_dict"]
    assert bool(module.backbone.centring.mean.any())
    assert_close({"mean": kept["backbone.centring.mean"]}, {"mean": module.backbone.centring.mean})
    assert_close({"mean": weights.validated[-1]["backbone.centring.mean"]}, {"mean": module.backbone.centring.mean})


def test_weights_that_are_projected_once_an_epoch_are_not_averaged(trainer, digits, stage1_module):
    def fit(every):
        module = stage1_module(data := digits(), head=lambda *given: MaxNormHead(*given, 0.3, project_every=every))
        trainer(3, callbacks=[WeightEMA()]).fit(module, datamodule=data)
        return module.head.weight

    assert bool((fit("step").norm(dim=1) <= 0.3 + 1e-5).all())  # it has begun with weights beyond that
    with pytest.raises(UsageError, match=r"^`model.head.project_every` epoch does not go with `WeightEMA`: .*; give"):
        fit("epoch")
