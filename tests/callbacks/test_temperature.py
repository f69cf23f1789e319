"""Temperatures of predictions."""

import csv
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger

from lt_lightning.callbacks import PredictionsWriter, TemperatureScaling
from lt_lightning.errors import UsageError
from lt_lightning.functional import fit_temperature
from lt_lightning.heads import CosineHead
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss, LDAMLoss
from tests.kept_tensors import KeptTensors


def outputs(module, data, split):
    pixels, targets = data.split(split).__getitems__(list(range(len(data.split(split)))))
    with torch.no_grad():
        return module.eval()(data.to_input(pixels, training=False, generator=None)), targets


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_auto_is_fitted_on_validation_images(tmp_path, trainer, digits, stage1_module, capsys, kind):
    data = digits()
    module = stage1_module(data, loss=lambda counts: ClassBalancedLoss(counts, kind=kind))
    scaling = TemperatureScaling("auto")
    callbacks = [scaling, PredictionsWriter(top_k=1)]
    trainer(logger=CSVLogger(tmp_path, name="", version=""), callbacks=callbacks).predict(module, datamodule=data)
    expected = fit_temperature(*outputs(module, data, "val"), one_vs_all=kind == "sigmoid")
    assert scaling.used == pytest.approx(expected, rel=1e-4)
    assert module.temperature == 1  # the next prediction may ask for none
    assert f"temperature {expected:.4g}, fitted on 200 validation images" in capsys.readouterr().out
    logits, _ = outputs(module, data, "test")
    confidence = module.loss.probabilities(logits / scaling.used).max(1).values
    with (tmp_path / "predictions.csv").open(newline="") as file:
        found = [float(row["probability_1"]) for row in csv.DictReader(file)]
    torch.testing.assert_close(torch.tensor(found), confidence, rtol=1e-4, atol=1e-6)


def test_the_scale_of_a_loss_is_part_of_the_temperature(trainer, digits, stage1_module):
    data, scaling = digits(), TemperatureScaling()
    head, loss = partial(CosineHead, scale=1), partial(LDAMLoss, scale=3.0)
    module = stage1_module(data, head=head, loss=loss)
    trainer(callbacks=[scaling]).predict(module, datamodule=data)
    logits, targets = outputs(module, data, "val")
    assert scaling.used == pytest.approx(fit_temperature(3 * logits, targets), rel=1e-4)


def test_logits_are_kept_once(trainer, digits, stage1_module):
    """Parts of those of all images would take as much again beside them."""

    class Watched(TemperatureScaling):
        def on_predict_epoch_start(self, trainer, pl_module):
            with KeptTensors() as kept:
                super().on_predict_epoch_start(trainer, pl_module)
            found.append(kept.most)

    found = []
    for batch_size in (200, 2):
        data = digits(eval_batch_size=batch_size)
        trainer(callbacks=[Watched()]).predict(stage1_module(data), data, return_predictions=False)
    assert found[1] < found[0] + 50  # of 100 batches


def test_a_number_is_taken_as_it_is(trainer, digits, stage1_module):
    data, scaling = digits(), TemperatureScaling(2.5)
    module = stage1_module(data)
    (batch, *_) = trainer(callbacks=[scaling]).predict(module, datamodule=data)
    logits, _ = outputs(module, data, "test")
    expected = module.loss.probabilities(logits / 2.5)[: len(batch["probabilities"])]
    torch.testing.assert_close(batch["probabilities"], expected, rtol=1e-4, atol=1e-6)
    assert (scaling.used, module.temperature) == (2.5, 1)


def test_the_order_of_classes_stays(tmp_path, trainer, digits, stage1_module):
    """Also where the probabilities of several become 0."""
    data, orders = digits(), []
    module = stage1_module(data)
    for temperature in (1.0, 1e-4):
        place = tmp_path / f"{temperature}.csv"
        callbacks = [TemperatureScaling(temperature), PredictionsWriter(10, output=str(place))]
        trainer(callbacks=callbacks).predict(module, datamodule=data, return_predictions=False)
        with place.open(newline="") as file:
            rows = list(csv.DictReader(file))
        orders.append([[row[f"index_{rank}"] for rank in range(1, 11)] for row in rows])
    assert sum(row["probability_8"] == row["probability_9"] == "0" for row in rows) > 100
    assert orders[0] == orders[1]


def test_an_interrupted_prediction_leaves_none(trainer, digits, stage1_module):
    class Interrupted(Callback):
        def on_predict_batch_end(self, *_):
            raise RuntimeError("stopped")

    data, scaling = digits(), TemperatureScaling(2.5)
    module = stage1_module(data)
    with pytest.raises(RuntimeError, match="stopped"):
        trainer(callbacks=[scaling, Interrupted()]).predict(module, datamodule=data)
    assert (scaling.used, module.temperature) == (2.5, 1)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan"), "Auto"])
def test_temperatures_are_positive_and_finite(value):
    with pytest.raises(UsageError, match="`temperature` must be above 0 and finite"):
        TemperatureScaling(value)


class Halved(CrossEntropyLoss):
    def probabilities(self, logits):
        return super().probabilities(logits) / 2


@pytest.mark.parametrize(
    ("options", "loss", "sentence"),
    [
        ({"val_from": "none"}, CrossEntropyLoss, "fitted on validation images, but `DigitsLT` has none"),
        ({}, Halved, "those of `Halved` are neither; give a number"),
    ],
)
def test_auto_needs_validation_images_and_a_known_likelihood(trainer, digits, stage1_module, options, loss, sentence):
    data = digits(**options)
    run = trainer(callbacks=[TemperatureScaling()])
    with pytest.raises(UsageError, match=sentence):
        run.predict(stage1_module(data, loss=loss), datamodule=data)
