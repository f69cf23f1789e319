"""What both stages share: the step, the metrics, resuming."""

import pytest
import torch
from short_runs import inputs, sgd
from torch import nn
from torch.utils.data import DataLoader

from lt_lightning.backbones import Backbone
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.heads import CosineHead, Head, LinearHead, LogitAdjustmentHead
from lt_lightning.losses import BalancedSoftmaxLoss, CrossEntropyLoss, LDAMLoss
from lt_lightning.modules import LTModule
from lt_lightning.samplers import ClassBalancedSampler

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

    predicted = torch.cat([batch["probabilities"] for batch in run.predict(module, datamodule=data)])
    torch.testing.assert_close(predicted, logits.softmax(1), rtol=1e-4, atol=1e-6)  # the images that `test` judged

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
    torch.manual_seed(4)  # from other first weights the adjustment may change no class
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


class Indices(DigitsLT):
    """Grey values as the indices of 257 words, more than a type of 8 bits tells apart."""

    def to_input(self, images, training, generator):
        return images.flatten(1).long() + 1


class Bag(Backbone):
    """A vector for each word, and their mean."""

    num_features = 8

    def __init__(self):
        super().__init__()
        self.words = nn.EmbeddingBag(257, 8)

    def forward(self, words):
        assert words.max() == 256
        return self.words(words)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_indices_reach_the_backbone_as_they_are(trainer, stage1_module, precision):
    data = Indices()
    module = stage1_module(data, backbone=Bag())
    run = trainer(precision=precision)
    run.fit(module, datamodule=data)
    run.test(module, datamodule=data, verbose=False)
    assert module.input_shape == (64,)


def test_input_that_is_no_tensor_is_refused(trainer, stage1_module):
    class Masked(Indices):
        def to_input(self, images, training, generator):
            words = super().to_input(images, training, generator)
            return {"ids": words, "mask": words > 1}

    data = Masked()
    with pytest.raises(UsageError, match="must give one tensor, but gave a dictionary with 'ids', 'mask'; put all"):
        trainer().fit(stage1_module(data, backbone=Bag()), datamodule=data)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda images, targets: (images, targets, targets), r"a (tuple|list) of Tensor"),
        (lambda images, targets: {"pixels": images, "label": targets}, "a dictionary with 'pixels', 'label'"),
        (lambda images, _: images, "a tensor of shape"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "validate", "predict"])
def test_batches_of_other_loaders_are_pairs(trainer, digits, stage1_module, command, change, found):
    data = digits()
    module = stage1_module(data)
    pair = inputs(data, "val")
    good = DataLoader([pair], batch_size=None)
    more = {"val_dataloaders": good} if command == "fit" else {}
    getattr(trainer(), command)(module, good, **more)
    other = DataLoader([change(*pair)], batch_size=None)
    if command == "predict" and "of Tensor" in found:  # where names of files, and more, may stand behind images
        (batch,) = trainer().predict(module, other)
        assert len(batch["logits"]) == len(pair[0])
    else:
        with pytest.raises(UsageError, match=rf"^The data must give batches \(images, targets\), .* but gave {found}"):
            getattr(trainer(), command)(module, other, **more)
    with pytest.raises(UsageError, match="The data must give batches"):
        LTModule.mix(module, change(*pair), 0)  # of stage 2


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


# -- what does not go together -----------------------------------------------------------------------------------------


def test_double_balancing_is_refused_unless_wanted(trainer, digits, stage1_module):
    data = digits(sampler=ClassBalancedSampler)
    sentence = "`data.sampler` and `BalancedSoftmaxLoss` would both correct for class imbalance; choose one, or set"
    with pytest.raises(UsageError, match=sentence):
        trainer().fit(stage1_module(data, loss=BalancedSoftmaxLoss), datamodule=data)
    weighted = stage1_module(data, loss=lambda counts: CrossEntropyLoss(counts, weight=[1.0] * 10))
    with pytest.raises(UsageError, match=r"`data.sampler` and `model.loss.weight` of `CrossEntropyLoss` would both"):
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
            "LinearHead and `model.loss` LDAMLoss do not go together: LDAMLoss .* by 30 and so needs plain cosines",
        ),
    ],
)
def test_heads_and_losses_that_do_not_go_together(digits, stage1_module, head, loss, sentence):
    with pytest.raises(UsageError, match=sentence):
        stage1_module(digits(), head=head, loss=loss)
