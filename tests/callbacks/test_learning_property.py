"""Residuals of the learning property after training."""

import json
from threading import Lock

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.loggers import CSVLogger

from lt_lightning import functional
from lt_lightning.backbones import SmallCNN
from lt_lightning.callbacks import DRW, LearningProperty, ResultsWriter, WeightEMA
from lt_lightning.data import ImageFolderLT
from lt_lightning.errors import UsageError
from lt_lightning.functional import class_balanced_weights
from lt_lightning.functional.learning_property import gradient_sides, relative_residual
from lt_lightning.heads import Head
from lt_lightning.losses import CrossEntropyLoss, EqualizationLossV2
from lt_lightning.samplers import ClassBalancedSampler, ProgressiveSampler
from tests.gradients import logit_gradients


def training_logits(module, data):
    images, targets = data.split("train").__getitems__(list(range(len(data.split("train")))))
    module.eval()
    with torch.no_grad():
        return module.head(module.features(data.to_input(images, training=False, generator=None))), targets


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_equation_8_on_the_training_set(tmp_path, trainer, digits, stage1_module, weighted, weight_decay):
    data = digits()
    weight = [1.0 + c for c in range(10)] if weighted else None
    module = stage1_module(
        data,
        loss=lambda counts: CrossEntropyLoss(counts, weight=weight),
        optimizer=lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=weight_decay),
    )
    torch.nn.init.normal_(module.head.bias)
    options = {"logger": CSVLogger(tmp_path, name="", version="")}
    run = trainer(callbacks=[LearningProperty(), ResultsWriter(print_table=False)], **options)
    run.fit(module, datamodule=data)
    found = json.loads((tmp_path / "results.json").read_text())["diagnostics"]["learning_property"]

    logits, targets = training_logits(module, data)
    weights = torch.ones(10) if weight is None else torch.tensor(weight)
    sides = gradient_sides(logit_gradients(logits, targets, weights), torch.float64)
    decay = weight_decay * weights[targets].sum() * module.head.bias.detach()
    expected = relative_residual(sides, decay)
    assert found["residual"] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-5)
    assert found["bias"] == {"trains": True, "weight_decay": weight_decay}
    counts = torch.tensor(data.class_counts)
    assert found["few"] == pytest.approx(expected[counts < 8].abs().mean().item(), rel=1e-3)


def test_a_converged_classifier_is_at_rest(trainer, digits, stage2_module):
    data = digits(crop_padding=0, batch_size=276)
    module = stage2_module(data, optimizer=lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9))
    callback = LearningProperty()
    trainer(max_epochs=150, callbacks=[callback], limit_val_batches=0, log_every_n_steps=1000).fit(
        module, datamodule=data
    )
    residual = callback.diagnostics["learning_property"]["residual"]
    assert max(map(abs, residual)) < 0.05
    assert not module.backbone.training


@pytest.mark.parametrize("sampler", [ClassBalancedSampler, ProgressiveSampler])
def test_nothing_is_measured_where_the_sampler_balances_classes(tmp_path, trainer, digits, stage2_module, sampler):
    """Each image once, a converged classifier would be far from rest."""
    data = digits(crop_padding=0, sampler=sampler)
    callbacks = [LearningProperty(), ResultsWriter(print_table=False)]
    run = trainer(logger=CSVLogger(tmp_path, name="", version=""), callbacks=callbacks)
    with pytest.warns(UserWarning, match=r"`data\.sampler` shows classes in other proportions .* nothing is measured"):
        run.fit(stage2_module(data), datamodule=data)
    found = json.loads((tmp_path / "results.json").read_text())["diagnostics"]
    assert found == {"learning_property": None}


class Divided(Head):
    """The shortest head of docs/extend.md: its bias has another name, and acts on the logits by a half."""

    def __init__(self, in_features, class_counts, temperature=2.0):
        super().__init__(in_features, class_counts)
        self.temperature = temperature
        self.linear = torch.nn.Linear(in_features, self.num_classes)

    def forward(self, features):
        return functional.linear(features, self.linear.weight, self.linear.bias) / self.temperature

    def init_from(self, weight, bias):
        with torch.no_grad():
            self.linear.weight.copy_(weight)
            self.linear.bias.copy_(bias)


class Twice(Divided):
    """Has two biases, of which one is a row."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.offset = torch.nn.Parameter(torch.zeros(1, self.num_classes))

    def forward(self, features):
        return super().forward(features) + self.offset


class OfTheImage(Divided):
    """Its temperature is the image's, so that no constant is added to its logits."""

    def forward(self, features):
        return super().forward(features) / (1 + features.square().mean(dim=1, keepdim=True))


class Scaled(Divided):
    """Has no bias, but as many scales, and a layer with a bias that is as long."""

    def __init__(self, in_features, class_counts):
        super().__init__(in_features, class_counts)
        self.linear.bias.requires_grad_(False)
        self.scales = torch.nn.Parameter(torch.ones(self.num_classes))
        self.inner = torch.nn.Linear(in_features, self.num_classes)
        self.outer = torch.nn.Linear(self.num_classes, self.num_classes, bias=False)

    def forward(self, features):
        return super().forward(features) * self.scales + self.outer(self.inner(features).relu())


class Untried(Divided):
    """Takes four images nowhere but in training."""

    def forward(self, features):
        if len(features) == 4:
            raise RuntimeError("four")
        return super().forward(features)


def test_a_bias_is_what_acts_as_one(trainer, digits, stage2_module):
    """At rest with what pulls at it counted in, divided by the temperature."""
    data = digits(crop_padding=0, batch_size=276)
    optimizer = {"optimizer": lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9, weight_decay=0.03)}
    module, callback = stage2_module(data, head=Divided, **optimizer), LearningProperty()
    options = {"max_epochs": 150, "limit_val_batches": 0, "log_every_n_steps": 1000}
    trainer(callbacks=[callback], **options).fit(module, datamodule=data)
    found = callback.diagnostics["learning_property"]
    assert found["bias"] == {"trains": True, "weight_decay": 0.03}
    assert max(map(abs, found["residual"])) < 0.02
    logits, targets = training_logits(module, data)
    sides = gradient_sides(logit_gradients(logits, targets), torch.float64)
    assert relative_residual(sides).abs().max() > 0.1


@pytest.mark.parametrize("head", [OfTheImage, Scaled])
def test_what_does_not_act_as_a_bias_is_none(trainer, digits, stage1_module, head):
    data, callback = digits(), LearningProperty()
    optimizer = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1)}
    trainer(callbacks=[callback]).fit(stage1_module(data, head=head, **optimizer), datamodule=data)
    assert callback.diagnostics["learning_property"]["bias"] == {"trains": False, "weight_decay": 0.0}


@pytest.mark.parametrize(
    ("head", "why"), [(Twice, "where 2 parameters act as one"), (Untried, "which cannot be tried")]
)
def test_a_bias_that_cannot_be_told_is_said(trainer, digits, stage1_module, head, why):
    data, callback = digits(), LearningProperty()
    optimizer = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1)}
    module = stage1_module(data, head=head, **optimizer)
    with pytest.warns(UserWarning, match=f"`LearningProperty` cannot tell the bias of `{head.__name__}`, {why}"):
        trainer(callbacks=[callback]).fit(module, datamodule=data)
    found = callback.diagnostics["learning_property"]
    assert found["bias"] == {"trains": None, "weight_decay": None}
    logits, targets = training_logits(module, data)
    expected = relative_residual(gradient_sides(logit_gradients(logits, targets), torch.float64))
    assert found["residual"] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-5)


def test_images_on_disk_are_shown_whole(folder_root, trainer, stage1_module):
    data = ImageFolderLT(root=str(folder_root), image_size=8, num_workers=0, batch_size=16, val_from="none")
    module = stage1_module(data, backbone=SmallCNN(8, in_channels=3), optimizer=lambda p: torch.optim.SGD(p, lr=0.01))
    callback = LearningProperty()
    trainer(callbacks=[callback]).fit(module, datamodule=data)
    images, targets = data.undistorted("train").__getitems__(list(range(15)))
    module.eval()
    with torch.no_grad():
        logits = module.head(module.features(data.to_input(images, training=False, generator=None)))
    expected = relative_residual(gradient_sides(logit_gradients(logits, targets), torch.float64))
    found = callback.diagnostics["learning_property"]["residual"]
    assert found == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-6)


def test_workers_read_images_on_disk(folder_root, trainer, stage1_module, monkeypatch):
    """One process alone would take many times as long as an epoch of training."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    found, readers = {}, []

    class Watched(LearningProperty):
        def on_train_end(self, run, module):
            images = run.datamodule.undistorted("train")
            run.datamodule.undistorted = lambda _: images
            images.transform = Watching(images.transform, readers)
            super().on_train_end(run, module)

    for workers in (0, 2):
        data = ImageFolderLT(
            str(folder_root), image_size=8, num_workers=workers, batch_size=16, val_from="none", eval_batch_size=4
        )
        torch.manual_seed(0)
        module = stage1_module(data, backbone=SmallCNN(8, in_channels=3))
        callback = Watched()
        trainer(callbacks=[callback]).fit(module, datamodule=data)
        found[workers] = callback.diagnostics["learning_property"]["residual"]
        assert len(readers) == 15  # in this process: all without workers, and none with two
    assert found[0] == found[2]


class Watching:
    """Notes each image that is read, as far as this process sees it."""

    def __init__(self, transform, seen):
        self.transform, self.seen = transform, seen

    def __call__(self, image):
        self.seen.append(None)
        return self.transform(image)


def test_module_and_loss_are_left_as_they_were(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    before = {}

    class Between(LearningProperty):
        def on_train_end(self, run, pl_module):
            before.update({name: value.clone() for name, value in pl_module.state_dict().items()})
            mode = pl_module.training
            super().on_train_end(run, pl_module)
            assert pl_module.training == mode

    trainer(callbacks=[Between()]).fit(module, datamodule=data)
    assert module.loss.reduction == "mean"
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_what_cannot_be_measured_is_refused(trainer, digits, stage1_module):
    with pytest.raises(UsageError, match="needs a module and data of this package, but got LightningModule"):
        LearningProperty().setup(trainer(), LightningModule(), "fit")

    class OfTheBatch(CrossEntropyLoss):
        def forward(self, logits, targets, features=None):
            return super().forward(logits, targets, features).mean()

    data = digits()
    with pytest.raises(UsageError, match="needs a loss of each sample, which `OfTheBatch` has not"):
        trainer(callbacks=[LearningProperty()]).fit(stage1_module(data, loss=OfTheBatch), datamodule=data)


class Locked(CrossEntropyLoss):
    """Holds what nothing copies."""

    def __init__(self, class_counts):
        super().__init__(class_counts)
        self.lock = Lock()


class Remembering(CrossEntropyLoss):
    """Keeps the last loss with its graph, which torch does not copy."""

    def forward(self, logits, targets, features=None):
        self.last = super().forward(logits, targets, features)
        return self.last


class RememberingInTraining(CrossEntropyLoss):
    """Keeps it nowhere but there."""

    def forward(self, logits, targets, features=None):
        loss = super().forward(logits, targets, features)
        if self.training:
            self.last = loss
        return loss


class RememberingFeatures(CrossEntropyLoss):
    """Keeps what hangs on the features alone."""

    def forward(self, logits, targets, features=None):
        self.size = features.square().mean()
        return super().forward(logits, targets, features)


NO_LEAF = "Only Tensors created explicitly"


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        (Locked, r"cannot pickle '_thread\.lock' object"),
        (Remembering, NO_LEAF),
        (RememberingInTraining, NO_LEAF),
        (RememberingFeatures, NO_LEAF),
    ],
)
def test_a_loss_that_cannot_be_copied_is_refused_before_training(trainer, digits, stage1_module, loss, why):
    data = digits()
    module = stage1_module(data, loss=loss)
    with pytest.raises(UsageError, match=rf"copies of the loss, but `{loss.__name__}` cannot be copied \({why}"):
        trainer(callbacks=[LearningProperty()]).fit(module, datamodule=data)
    assert module.trainer.global_step == 0


class RememberingLate(RememberingInTraining):
    """Keeps it from the second batch on, and draws in training."""

    batches = 0

    def forward(self, logits, targets, features=None):
        loss = super().forward(logits, targets, features)
        if self.training:
            torch.rand(1)
            if self.batches == 0:
                del self.last
            self.batches += 1
        return loss


def test_a_loss_that_cannot_be_copied_after_training_costs_no_results(tmp_path, trainer, digits, stage1_module):
    data, callbacks = digits(), [LearningProperty(), ResultsWriter(print_table=False)]
    run = trainer(logger=CSVLogger(tmp_path, name="", version=""), callbacks=callbacks)
    with pytest.warns(
        UserWarning, match=r"`RememberingLate` cannot be copied \(Only .* callback out\. Nothing is measured\."
    ):
        run.fit(stage1_module(data, loss=RememberingLate), datamodule=data)
    found = json.loads((tmp_path / "results.json").read_text())["diagnostics"]
    assert found == {"learning_property": None}


def test_trying_a_loss_draws_nothing_and_leaves_it_to_training_to_refuse(trainer, digits, stage1_module):
    class Wanting(RememberingLate):
        def forward(self, logits, targets, features=None):
            loss = super().forward(logits, targets, features)
            if self.training and len(logits) < 3:
                raise RuntimeError("too few")
            return loss

    data = digits()
    module, run = stage1_module(data, loss=Wanting), trainer()
    run.datamodule = data
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    LearningProperty().setup(run, module, "fit")
    assert torch.equal(torch.rand(1), expected)
    assert module.loss.batches == 0


def test_a_loss_is_measured_as_training_leaves_it(trainer, digits, stage1_module):
    """It sums up gradients, by whose ratio it weighs them."""
    data, callback = digits(), LearningProperty()
    module = stage1_module(data, loss=EqualizationLossV2, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    trainer(callbacks=[callback]).fit(module, datamodule=data)
    logits, targets = training_logits(module, data)
    logits.requires_grad_()
    module.loss(logits, targets).backward()
    expected = relative_residual(gradient_sides(len(targets) * logits.grad, torch.float64))
    assert callback.diagnostics["learning_property"]["residual"] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-5)


def test_a_fast_dev_run_measures_nothing(here, trainer, digits, stage1_module):
    data, callback = digits(), LearningProperty()
    options = {"fast_dev_run": True, "default_root_dir": here, "callbacks": [callback]}
    trainer(**options).fit(stage1_module(data), datamodule=data)
    assert callback.diagnostics == {}


@pytest.mark.parametrize("other", [lambda: WeightEMA(0.99), lambda: DRW(0)])
def test_the_order_of_callbacks_changes_nothing(trainer, digits, stage1_module, other):
    """One puts the average into the module when training ends, the other takes the class weights off the loss."""
    found = []
    for turned in (False, True):
        torch.manual_seed(0)
        data, callback = digits(), LearningProperty()
        module = stage1_module(data, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
        callbacks = [callback, other()][:: -1 if turned else 1]
        trainer(callbacks=callbacks).fit(module, datamodule=data)
        assert module.loss.weight is None
        found.append(callback.diagnostics["learning_property"]["residual"])
    assert found[0] == found[1]
    logits, targets = training_logits(module, data)
    weights = class_balanced_weights(module.class_counts, 0.9999) if isinstance(callbacks[0], DRW) else torch.ones(10)
    sides = gradient_sides(logit_gradients(logits, targets, weights.to(logits)), torch.float64)
    assert found[0] == pytest.approx(relative_residual(sides).tolist(), rel=1e-3, abs=1e-5)
