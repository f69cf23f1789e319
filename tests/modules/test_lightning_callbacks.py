"""Lightning's own callbacks beside modules of ours."""

import pytest
import torch
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    LambdaCallback,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from torch.optim.lr_scheduler import OneCycleLR

from lt_lightning.backbones import Identity
from lt_lightning.callbacks import DRW
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.heads import LinearHead, NCMHead
from lt_lightning.modules import RepresentationModule


class FlatDigits(DigitsLT):
    """Digits as vectors, for a network without batch normalisation."""

    def to_input(self, images, training, generator):
        return super().to_input(images, training, generator).flatten(1)


def standing(parameters):
    return torch.optim.SGD(parameters, lr=0.0)


def differing(module, wanted, part):
    found = {key: value for key, value in module.state_dict().items() if key.startswith(part)}
    assert found
    return [key for key, value in found.items() if not torch.equal(value, wanted[key])]


def batch_size_finder(name="batch_size"):
    return BatchSizeFinder(init_val=64, max_trials=1, steps_per_trial=1, batch_arg_name=name)


@pytest.mark.parametrize(
    "finder", [batch_size_finder, lambda: LearningRateFinder(num_training_steps=4, update_attr=False)]
)
def test_what_is_tried_out_before_stage_2_starts_from_its_checkpoint_too(
    tmp_path, trainer, digits, stage2_module, stage1, finder
):
    wanted = torch.load(stage1, weights_only=True)["state_dict"]
    data = digits()
    module = stage2_module(data, optimizer=standing)
    seen = []
    module.backbone.register_forward_hook(lambda *_: seen.extend(differing(module, wanted, "backbone.")))
    trainer(callbacks=[finder()], default_root_dir=tmp_path, enable_checkpointing=True).fit(module, datamodule=data)
    assert seen == []
    assert differing(module, wanted, "") == []
    assert module.epochs_trained == 1


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_batch_size_that_is_looked_for_changes_no_figures(tmp_path, trainer, digits, stage2_module, command):
    data = digits()
    heads = []
    for callbacks in ([], [batch_size_finder("eval_batch_size")]):
        module = stage2_module(data, head=NCMHead)
        options = {"default_root_dir": tmp_path, "enable_checkpointing": True, "callbacks": callbacks}
        getattr(trainer(**options), command)(module, datamodule=data)
        heads.append(module.state_dict())
    assert all(torch.equal(value, heads[1][key]) for key, value in heads[0].items())


@pytest.mark.parametrize(
    ("callback", "sentence"),
    [
        (lambda: BackboneFinetuning(1), "BackboneFinetuning unfreezes"),
        (lambda: StochasticWeightAveraging(0.01), "StochasticWeightAveraging resets .* use `WeightEMA`"),
    ],
)
def test_a_frozen_backbone_is_not_touched(trainer, digits, stage2_module, callback, sentence):
    data = digits()
    with pytest.raises(UsageError, match=sentence):
        trainer(callbacks=[callback()]).fit(stage2_module(data), datamodule=data)


def test_weights_are_averaged_where_there_is_batch_normalisation(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    run = trainer(max_epochs=2, callbacks=[StochasticWeightAveraging(0.01, swa_epoch_start=1)])
    run.fit(module, datamodule=data)
    assert run.current_epoch == 3
    assert module.epochs_trained == module.evaluation["val"]["epoch"] == 2  # the pass after it collects statistics


def test_an_averages_last_pass_does_not_count_in_the_length_of_training(trainer, digits, stage1_module):
    data, drw, seen = digits(), DRW(start=0.8), []
    note = LambdaCallback(on_train_batch_start=lambda *_: seen.append((run.current_epoch, module.loss.weight is None)))
    module = stage1_module(data, lr_scheduler=lambda o: OneCycleLR(o, max_lr=0.1, total_steps=4))
    run = trainer(max_epochs=4, callbacks=[StochasticWeightAveraging(0.01), drw, note])
    run.fit(module, datamodule=data)
    assert {epoch for epoch, unweighted in seen if not unweighted} == {3, 4}


def test_an_average_that_comes_too_late_is_refused(trainer):
    data = FlatDigits(batch_size=64)
    module = RepresentationModule(data.class_counts, Identity(64), head=LinearHead)
    with pytest.raises(UsageError, match=r"only after the last checkpoint .* use `WeightEMA`"):
        trainer(callbacks=[StochasticWeightAveraging(0.01)]).fit(module, datamodule=data)


@pytest.mark.filterwarnings("ignore:The provided params to be frozen already exist:UserWarning")  # batch normalisation
def test_a_backbone_may_join_in_stage_1_later(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    first = {key: value.clone() for key, value in module.state_dict().items()}
    run = trainer(max_epochs=3, callbacks=[BackboneFinetuning(unfreeze_backbone_at_epoch=1)])
    run.fit(module, datamodule=data)
    head, backbone = run.optimizers[0].param_groups
    assert head["lr"] == pytest.approx(0)  # the cosine has come to its end
    assert backbone["lr"] > 0  # what the callback has set
    assert not any(torch.equal(value, first[key]) for key, value in module.state_dict().items() if "conv" in key)
