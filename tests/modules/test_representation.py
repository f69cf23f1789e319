"""Stage 1."""

from types import SimpleNamespace

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.heads import DisAlignHead, LinearHead, TauNormHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.mixing import Mixing, Mixup


def test_backbone_and_head_train_together(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    run = trainer()
    run.fit(module, datamodule=data)
    assert [key for key, tensor in module.state_dict().items() if torch.equal(tensor, before[key])] == []
    optimised = {id(parameter) for group in run.optimizers[0].param_groups for parameter in group["params"]}
    assert optimised == {id(parameter) for parameter in module.parameters()}


def test_defaults_are_the_published_recipe(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    run = trainer(max_epochs=2)
    run.fit(module, datamodule=data)
    assert (type(module.head), type(module.loss)) == (LinearHead, CrossEntropyLoss)
    (group,) = run.optimizers[0].param_groups
    assert (group["initial_lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 5e-3)
    assert group["lr"] == pytest.approx(0)  # a cosine that ends with the run


def test_the_backbone_is_compiled_if_asked(trainer, digits, stage1_module):
    # Real compilation takes a minute; these stances say without it whether there is something to compile.
    data = digits()
    options = {"limit_train_batches": 1, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    with torch.compiler.set_stance("fail_on_recompile"):
        trainer(**options).fit(stage1_module(data), datamodule=data)
        with pytest.raises(RuntimeError, match="recompile"):
            trainer(**options).fit(stage1_module(data, compile="default"), datamodule=data)
    module = stage1_module(data, compile="default")
    with torch.compiler.set_stance("force_eager"):
        trainer(**options).fit(module, datamodule=data)
    assert list(module.state_dict()) == list(stage1_module(data).state_dict())  # no `_orig_mod.` in checkpoints


def test_images_that_published_weights_are_not_used_to_are_said(trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data)
    module.backbone.published_transform = {"mean": (0.5,), "std": (0.376,)}
    said = r"otherwise than the published weights of `backbone` are used to: `data.mean` \[0.3053\] \(there \[0.5\]\)"
    with pytest.warns(UserWarning, match=said):
        trainer().fit(module, datamodule=data)


def test_mixing_that_is_made_already_is_refused(digits, stage1_module):
    with pytest.raises(UsageError, match=r"`model\.mixing` must be what makes one, such as the class `Mixup` or"):
        stage1_module(digits(), mixing=Mixup())


def test_mixing_that_lacks_methods_is_said_to(digits, stage1_module):
    with pytest.raises(UsageError, match=r"abstract class Mixing .*mix.*: a base class, or one of your own"):
        stage1_module(digits(), mixing=Mixing)


@pytest.mark.parametrize("head", [TauNormHead, DisAlignHead])
def test_a_head_that_keeps_the_classifier_is_tested_but_not_fitted(trainer, digits, stage1_module, head):
    data = digits()
    module = stage1_module(data, head=head)
    trainer().test(module, datamodule=data, verbose=False)
    assert sum(module.evaluation["test"]["per_class"]["total"]) == 500
    sentence = f"`model.head` {head.__name__} and `model` RepresentationModule do not go .* random; train LinearHead fi"
    with pytest.raises(UsageError, match=sentence):
        trainer().fit(module, datamodule=data)


def test_images_are_mixed_anew_for_each_seed_epoch_batch_and_process(monkeypatch, digits, stage1_module):
    module = stage1_module(digits(), mixing=Mixup)
    images, targets = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8)

    def mixed(run=0, epoch=0, batch=0, rank=0):
        monkeypatch.setenv("PL_GLOBAL_SEED", str(run))
        module.trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
        found = module.mix((images, targets), batch)
        return found.share, tuple(found.partners.tolist())

    assert mixed() == mixed()
    others = [mixed(**{name: 1}) for name in ("run", "epoch", "batch", "rank")]
    shares, orders = zip(mixed(), *others, strict=True)
    assert len(set(orders)) == 5
    assert len(set(shares[:4])) == 4
    assert shares[4] == shares[0]  # the processes of a run share it
