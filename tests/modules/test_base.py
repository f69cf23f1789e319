"""What both stages share: the step, the metrics, resuming."""

import csv
import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, Head, LinearHead, LogitAdjustmentHead, MaxNormHead
from lt_lightning.losses import BalancedSoftmaxLoss, CrossEntropyLoss, LDAMLoss
from lt_lightning.modules import RepresentationModule
from lt_lightning.samplers import ClassBalancedSampler
from lt_lightning.schedules import CosineLR


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def inputs(data, split):
    images = data.split(split)
    pixels, targets = images.__getitems__(list(range(len(images))))
    return data.to_input(pixels, training=False, generator=None), targets


# -- resuming ----------------------------------------------------------------------------------------------------------


def keep(folder, **when):
    return ModelCheckpoint(folder, filename="{step}", save_top_k=-1, enable_version_counter=False, **when)


@pytest.mark.slow
def test_worker_processes_resume_in_the_epoch_they_should(tmp_path, trainer, digits, stage1_module):
    """Workers fetch ahead, and must not do so before the sampler knows its epoch."""
    options = {"enable_checkpointing": True, "max_epochs": 2}
    runs = []
    for checkpoint in (None, tmp_path / "step=7.ckpt"):
        torch.manual_seed(0)
        data = digits(num_workers=1)
        module = stage1_module(data, optimizer=sgd)
        callback = keep(tmp_path / ("again" if checkpoint else ""), every_n_train_steps=1)
        trainer(callbacks=[callback], **options).fit(module, datamodule=data, ckpt_path=checkpoint)
        runs.append(module.state_dict())
    assert all(torch.equal(runs[1][key], tensor) for key, tensor in runs[0].items())


def test_testing_a_checkpoint_from_inside_an_epoch_skips_nothing_later(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, optimizer=sgd)
    saving = {"callbacks": [keep(tmp_path, every_n_train_steps=1)], "enable_checkpointing": True}
    trainer(**saving).fit(module, datamodule=data)
    trainer(**saving).test(module, datamodule=data, ckpt_path=tmp_path / "step=2.ckpt", verbose=False)
    again = trainer()
    again.fit(stage1_module(data, optimizer=sgd), datamodule=data)
    assert again.global_step == 5


@pytest.mark.parametrize(
    ("when", "step"),
    [
        ({"every_n_train_steps": 1}, 7),  # in the middle of epoch 1
        ({"every_n_train_steps": 1}, 6),  # after its first batch
        ({"every_n_train_steps": 1}, 9),  # before its last
        ({"every_n_train_steps": 5}, 10),  # after its last, before validation
        ({"save_on_train_epoch_end": False}, 10),  # after validation
        ({"save_on_train_epoch_end": True}, 10),  # after the epoch
    ],
)
def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path, trainer, digits, stage1_module, when, step):
    options = {"enable_checkpointing": True, "max_epochs": 3}
    torch.manual_seed(0)
    data = digits()
    whole = stage1_module(data, optimizer=sgd)
    trainer(callbacks=[keep(tmp_path, **when)], **options).fit(whole, datamodule=data)

    torch.manual_seed(1)  # neither initial weights nor the global generator may matter
    data = digits()
    resumed = stage1_module(data, optimizer=sgd)
    run = trainer(callbacks=[keep(tmp_path / "again", **when)], **options)
    run.fit(resumed, datamodule=data, ckpt_path=tmp_path / f"step={step}.ckpt")
    assert (run.global_step, run.current_epoch) == (15, 3)
    assert resumed.epochs_trained == 3
    weights = resumed.state_dict()
    assert all(torch.equal(weights[key], tensor) for key, tensor in whole.state_dict().items())
    assert str(resumed.evaluation) == str(whole.evaluation)


def test_checkpoints_load_without_unpickling_and_know_their_age(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, flip_average=True)
    run = trainer(max_epochs=2)
    run.fit(module, datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    content = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert content["lt_lightning"]["class_counts"] == data.class_counts
    assert content["lt_lightning"]["split"]["hashes"] == data.describe_split()["hashes"]
    assert content["hyper_parameters"]["flip_average"] is True
    assert "backbone" not in content["hyper_parameters"]  # made in Python, no plain value
    loaded = RepresentationModule.load_from_checkpoint(tmp_path / "x.ckpt", backbone=stage1_module(data).backbone)
    assert loaded.flip_average
    assert loaded.epochs_trained == 2
    trainer().test(loaded, datamodule=digits(), verbose=False)
    assert loaded.evaluation["test"]["epoch"] == 2


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            {"max_count": 60},
            r"The checkpoint was trained on 276 images in 10 classes \(100 to 2 a class\), but the data have .*; give",
        ),
        (
            {"subset": 5},
            r"trained on other images than these data select \(split hash .*validation images may have been",
        ),
    ],
)
def test_other_data_are_refused_when_resuming(tmp_path, trainer, digits, stage1_module, other, sentence):
    data = digits()
    run = trainer()
    run.fit(stage1_module(data), datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    data = digits(**other)
    with pytest.raises(UsageError, match=sentence):
        trainer(max_epochs=2).fit(stage1_module(data), datamodule=data, ckpt_path=tmp_path / "x.ckpt")
    module = stage1_module(data, allow_changed_data=True)
    trainer(max_epochs=2).fit(module, datamodule=data, ckpt_path=tmp_path / "x.ckpt")
    assert module.epochs_trained == 2


# -- evaluation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip_average", [False, True])
def test_the_record_equals_a_computation_by_hand(trainer, digits, stage1_module, flip_average):
    data = digits(eval_batch_size=96, imbalance_ratio=20)
    module = stage1_module(data, optimizer=sgd, flip_average=flip_average)
    run = trainer(max_epochs=3)
    run.fit(module, datamodule=data)
    (logged,) = run.test(module, datamodule=data, verbose=False)

    images, targets = inputs(data, "test")
    module.eval()
    with torch.no_grad():
        logits = module(images)
        if flip_average:
            logits = (logits + module(images.flip(-1))) / 2
    assert len(targets) == 500
    hits = logits.argmax(1) == targets
    per_class = [hits[targets == label].float().mean().item() for label in range(10)]
    counts = torch.tensor(data.class_counts)
    groups = {"all": counts > 0, "many": counts > 30, "medium": (counts >= 8) & (counts <= 30), "few": counts < 8}
    expected = {name: torch.tensor(per_class)[chosen].mean().item() for name, chosen in groups.items()}
    expected["micro"] = hits.float().mean().item()

    record = module.evaluation["test"]
    assert {name: record["accuracy"][name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert {name: logged[f"test/{name}"] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert record["per_class"]["accuracy"] == pytest.approx(per_class)
    assert record["per_class"]["total"] == [50] * 10
    assert sum(record["per_class"]["correct"]) == hits.sum()
    assert record["group_sizes"] == {name: int(chosen.sum()) for name, chosen in groups.items() if name != "all"}
    assert record["epoch"] == 3
    assert record["classes_without_images"] == 0
    assert record["test_time_averaging"] == ("flip" if flip_average else "none")
    assert record["per_class"]["weight_norm"] == pytest.approx(module.head.weight.norm(dim=1).tolist())
    magnitude = [(logits[targets == k, k].mean() - logits[targets != k, k].mean()).item() for k in range(10)]
    assert record["per_class"]["logits_magnitude"] == pytest.approx(magnitude, abs=1e-4)
    deviation = [(logits[:, k].std(correction=0) / magnitude[k]).item() for k in range(10)]
    assert record["per_class"]["regularized_std"] == pytest.approx(deviation, rel=1e-3)
    many = torch.tensor(magnitude)[groups["many"]].mean().item()
    assert record["logits"]["logits_magnitude"]["many"] == pytest.approx(many, abs=1e-4)
    assert module.evaluation["val"]["test_time_averaging"] == "none"
    assert module.evaluation["val"]["epoch"] == 3


def test_evaluation_uses_what_the_head_predicts(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, head=LogitAdjustmentHead)
    trainer().test(module, datamodule=data, verbose=False)
    images, targets = inputs(data, "test")
    module.eval()
    with torch.no_grad():
        adjusted, plain = module(images), module.head(module.features(images))
    assert not torch.equal(adjusted.argmax(1), plain.argmax(1))
    correct = sum(module.evaluation["test"]["per_class"]["correct"])
    assert correct == (adjusted.argmax(1) == targets).sum()


def test_a_head_without_weights_per_class_is_evaluated(trainer, digits, stage1_module):
    class TwoLayers(Head):
        def __init__(self, in_features, class_counts):
            super().__init__(in_features, class_counts)
            self.layers = nn.Sequential(nn.Linear(in_features, 5), nn.ReLU(), nn.Linear(5, self.num_classes))

        def forward(self, features):
            return self.layers(features)

    data = digits()
    module = stage1_module(data, head=TwoLayers)
    trainer().fit(module, datamodule=data)
    assert sum(module.evaluation["val"]["per_class"]["total"]) == 200
    assert "weight_norm" not in module.evaluation["val"]["per_class"]


def test_predictions_are_probabilities_of_every_image(trainer, digits, stage1_module):
    data = digits(eval_batch_size=200)
    module = stage1_module(data)
    batches = trainer().predict(module, datamodule=data)
    assert [len(batch["targets"]) for batch in batches] == [200, 200, 100]
    probabilities = torch.cat([batch["probabilities"] for batch in batches])
    torch.testing.assert_close(probabilities.sum(1), torch.ones(500))
    images, targets = inputs(data, "test")
    assert torch.equal(torch.cat([batch["targets"] for batch in batches]), targets)
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(images).softmax(1), probabilities)


# -- precision, memory format, compilation -----------------------------------------------------------------------------


def test_half_precision_is_the_backbones_alone(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, head=lambda d, counts: CosineHead(d, counts, scale=1.0), loss=LDAMLoss)
    seen = {"backbone": set(), "head": set(), "loss": set()}
    finite = []

    def watch(name):
        def hook(part, args, output):
            seen[name].add(output.dtype)
            finite.append(bool(output.isfinite().all()))

        return hook

    for name in seen:
        getattr(module, name).register_forward_hook(watch(name))
    trainer(precision="bf16-mixed").fit(module, datamodule=data)
    assert seen == {"backbone": {torch.bfloat16}, "head": {torch.float32}, "loss": {torch.float32}}
    assert finite
    assert all(finite)
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-true", torch.bfloat16), ("64-true", torch.float64)])
def test_a_module_may_be_wholly_in_another_precision(trainer, digits, stage1_module, precision, dtype):
    data = digits()
    module = stage1_module(data)
    run = trainer(precision=precision, log_every_n_steps=3)
    run.fit(module, datamodule=data)
    assert {parameter.dtype for parameter in module.parameters()} == {dtype}
    assert run.logged_metrics["train/loss"].dtype == torch.float32  # a mean over steps needs its digits
    assert sum(module.evaluation["val"]["per_class"]["total"]) == 200


def test_channels_last_changes_layout_and_nothing_else(trainer, digits, stage1_module):
    evaluations, layouts = [], []
    for channels_last in (False, True):
        torch.manual_seed(0)
        data = digits()
        module = stage1_module(data, channels_last=channels_last)
        module.backbone.layers[3].register_forward_pre_hook(
            lambda part, args: layouts.append(args[0].is_contiguous(memory_format=torch.channels_last))
        )
        trainer().fit(module, datamodule=data)
        assert module.backbone.layers[3].weight.is_contiguous(memory_format=torch.channels_last) == channels_last
        assert all(layouts) == channels_last
        layouts.clear()
        evaluations.append(module.evaluation["val"]["per_class"]["logits_magnitude"])
    assert evaluations[0] == pytest.approx(evaluations[1], rel=1e-3, abs=1e-4)


# -- the training step -------------------------------------------------------------------------------------------------


class Losses(Callback):
    """Keeps the loss of each batch, and its size."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


def test_logged_losses_are_means_of_the_steps_since_the_last(tmp_path, trainer, digits, stage1_module):
    data, kept = digits(), Losses()
    logger = CSVLogger(tmp_path, name="", version="")
    module = stage1_module(data, optimizer=sgd)
    trainer(max_epochs=2, log_every_n_steps=2, logger=logger, callbacks=[kept]).fit(module, datamodule=data)
    losses = kept.losses
    assert len(losses) == 10
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))

    def column(name):
        return [float(row[name]) for row in rows if row[name]]

    # Steps 1 and 2, 3 and 4, [5 at the end of the epoch,] 6, 7 and 8, 9 and 10.
    expected = [sum(losses[a:b]) / (b - a) for a, b in ((0, 2), (2, 4), (5, 6), (6, 8), (8, 10))]
    assert column("train/loss") == pytest.approx(expected, rel=1e-5)
    assert column("train/loss_epoch_end") == pytest.approx([losses[4]], rel=1e-5)
    # The rate that the epoch trained at, not the one the schedule has moved on to.
    assert column("train/lr") == pytest.approx([0.1, 0.05])


def test_a_logged_loss_is_of_all_batches_whose_gradients_a_step_gathers(tmp_path, trainer, digits, stage1_module):
    data, kept = digits(), Losses()
    options = {"log_every_n_steps": 1, "accumulate_grad_batches": 2, "callbacks": [kept]}
    trainer(logger=CSVLogger(tmp_path, name="", version=""), **options).fit(stage1_module(data), datamodule=data)
    with (tmp_path / "metrics.csv").open() as file:
        logged = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    losses = kept.losses
    # Lightning gives callbacks the share of the loss that a batch has in its step.
    assert logged == pytest.approx([losses[0] + losses[1], losses[2] + losses[3], 2 * losses[4]], rel=1e-5)


def test_the_loss_of_the_whole_epoch_is_logged_where_steps_are_few(trainer, digits, stage1_module):
    data, kept = digits(), Losses()
    run = trainer(callbacks=[kept])
    run.fit(stage1_module(data), datamodule=data)
    assert len(kept.losses) == 5
    assert run.callback_metrics["train/loss_epoch_end"].item() == pytest.approx(sum(kept.losses) / 5, rel=1e-5)


def test_nothing_is_logged_by_step_where_the_interval_is_zero(trainer, digits, stage1_module):
    data = digits()
    run = trainer(log_every_n_steps=0)
    run.fit(stage1_module(data), datamodule=data)
    assert "train/loss" not in run.callback_metrics
    assert math.isfinite(run.callback_metrics["train/loss_epoch_end"])


class Norms(Callback):
    """Keeps the largest weight norm after each step, and at each validation."""

    def __init__(self):
        self.after_step, self.at_validation = [], []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.after_step.append(pl_module.head.weight.norm(dim=1).max().item())

    def on_validation_start(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self.at_validation.append(pl_module.head.weight.norm(dim=1).max().item())


@pytest.mark.parametrize("project_every", ["step", "epoch"])
def test_heads_project_after_each_step_or_before_the_epochs_validation(trainer, digits, stage1_module, project_every):
    data, norms = digits(), Norms()
    module = stage1_module(
        data, head=lambda d, counts: MaxNormHead(d, counts, radius=0.3, project_every=project_every), optimizer=sgd
    )
    trainer(max_epochs=2, callbacks=[norms]).fit(module, datamodule=data)
    inside = [norm <= 0.3 + 1e-6 for norm in norms.after_step]
    assert inside == ([True] * 10 if project_every == "step" else [False] * 4 + [True] + [False] * 4 + [True])
    assert norms.at_validation == pytest.approx([0.3, 0.3])
    assert module.head.weight.norm(dim=1).max().item() == pytest.approx(0.3)


def test_a_cosine_schedule_needs_to_know_its_end(trainer, digits, stage1_module):
    data = digits()
    with pytest.raises(UsageError, match=r"`CosineLR` needs to know where training ends: set `trainer.max_epochs`"):
        trainer(max_epochs=-1, max_steps=3).fit(stage1_module(data), datamodule=data)
    module = stage1_module(data, lr_scheduler=lambda optimizer: CosineLR(optimizer, epochs=7))
    trainer(max_epochs=1).fit(module, datamodule=data)
    assert module.lr_schedulers().epochs == 7


def test_a_cosine_schedule_with_a_length_of_its_own_needs_no_other(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, lr_scheduler=lambda optimizer: CosineLR(optimizer, epochs=7))
    trainer(max_epochs=-1, max_steps=3).fit(module, datamodule=data)
    assert (module.lr_schedulers().epochs, module.trainer.global_step) == (7, 3)


# -- what does not go together -----------------------------------------------------------------------------------------


def test_double_balancing_is_refused_unless_wanted(trainer, digits, stage1_module):
    data = digits(sampler=ClassBalancedSampler)
    sentence = "`data.sampler` and `BalancedSoftmaxLoss` would both correct for class imbalance; choose one, or set"
    with pytest.raises(UsageError, match=sentence):
        trainer().fit(stage1_module(data, loss=BalancedSoftmaxLoss), datamodule=data)
    weighted = stage1_module(data, loss=lambda counts: CrossEntropyLoss(counts, weight=[1.0] * 10))
    with pytest.raises(UsageError, match=r"`data.sampler` and `CrossEntropyLoss` would both"):
        weighted.check(data)
    module = stage1_module(data, loss=BalancedSoftmaxLoss, allow_double_balancing=True)
    trainer().fit(module, datamodule=data)
    assert module.epochs_trained == 1


@pytest.mark.parametrize(
    ("head", "loss", "sentence"),
    [
        (
            LogitAdjustmentHead,
            BalancedSoftmaxLoss,
            "LogitAdjustmentHead and `model.loss` BalancedSoftmaxLoss would both",
        ),
        (
            LinearHead,
            LDAMLoss,
            "LinearHead and `model.loss` LDAMLoss do not go together: .* scale 30, which needs cosine",
        ),
    ],
)
def test_heads_and_losses_that_do_not_go_together(digits, stage1_module, head, loss, sentence):
    with pytest.raises(UsageError, match=sentence):
        stage1_module(digits(), head=head, loss=loss)
