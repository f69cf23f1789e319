import pytest
import torch
from lightning.pytorch import Callback

from lt_lightning.errors import UsageError
from lt_lightning.features import Features, FeaturesLT, extract
from lt_lightning.heads import NCMHead
from lt_lightning.modules import on_features
from lt_lightning.samplers import ClassBalancedSampler


@pytest.fixture
def extracted(digits, stage2_module, options):
    """Makes the data module of features and a module that takes them."""

    def make(views=1, **module_options):
        source = digits(eval_batch_size=200)
        module = stage2_module(source, **module_options)
        backbone = on_features(module)
        features = {
            split: extract(backbone, source, split, views if split == "train" else 1, options=options())
            for split in ("train", "val", "test")
        }
        return module, FeaturesLT(source, features)

    return make


def test_counts_names_and_record_are_the_sources(extracted, digits):
    _, data = extracted(views=2)
    source = digits()
    source.setup("fit")
    data.setup("fit")
    assert data.class_counts == source.class_counts
    assert data.class_names == source.class_names
    assert data.group_thresholds == source.group_thresholds
    assert data.describe_transform(False) == source.describe_transform(False)
    assert data.batch_size == 64
    assert data.eval_batch_size == 200
    record = data.describe_split()
    assert record["hashes"]["train"] == source.describe_split()["hashes"]["train"]
    assert record["features"]["train"]["views"] == 2
    assert record["features"]["test"]["views"] == 1
    other = FeaturesLT(data.source, data.features, batch_size=32, sampler=ClassBalancedSampler)
    assert other.batch_size == 32
    assert other.rebalances
    assert not data.rebalances


def test_training_on_features_is_training_on_images(extracted, digits, stage2_module, trainer):
    on_images, images = stage2_module(digits(crop_padding=0)), digits(crop_padding=0)
    trainer(2).fit(on_images, images)
    module, data = extracted()
    trainer(2).fit(module, data)
    torch.testing.assert_close(module.head.weight, on_images.head.weight, rtol=1e-4, atol=1e-6)
    trainer().test(on_images, images, verbose=False)
    trainer().test(module, data, verbose=False)
    for key in ("correct", "total"):
        assert module.evaluation["test"]["per_class"][key] == on_images.evaluation["test"]["per_class"][key]


def test_heads_made_from_features_need_no_images(extracted, digits, stage2_module, trainer):
    on_images, images = stage2_module(digits(), head=NCMHead), digits()
    trainer().test(on_images, images, verbose=False)
    module, data = extracted(head=NCMHead)
    trainer().test(module, data, verbose=False)
    torch.testing.assert_close(module.head.means, on_images.head.means)
    assert module.evaluation["test"]["per_class"]["correct"] == on_images.evaluation["test"]["per_class"]["correct"]


@pytest.mark.parametrize("views", [3, "all"])
def test_epochs_show_their_views(views, extracted, trainer, monkeypatch):
    module, data = extracted(views)
    seen = []
    original = type(module).training_step
    monkeypatch.setattr(
        type(module),
        "training_step",
        lambda self, batch, index: seen.append((self.current_epoch, *batch)) or original(self, batch, index),
    )
    trainer(4, limit_train_batches=2).fit(module, data)
    found = data.features["train"]
    sampler = data.train_sampler
    for epoch in range(4):
        indices = sampler.indices(epoch)[:128]
        rows = torch.cat([features for at, features, _ in seen if at == epoch])
        targets = torch.cat([classes for at, _, classes in seen if at == epoch])
        assert torch.equal(rows, found.values[found.shown(epoch)[indices], indices])
        assert torch.equal(targets, found.targets[indices])


class SaveAfterTwo(Callback):
    def __init__(self, path):
        self.path = path

    def on_train_epoch_end(self, trainer, module):
        if trainer.current_epoch == 1:
            trainer.save_checkpoint(self.path)


def test_a_resumed_run_goes_on_as_it_would_have(extracted, trainer, tmp_path):
    whole, data = extracted("all")
    trainer(4, callbacks=[SaveAfterTwo(tmp_path / "half.ckpt")]).fit(whole, data)
    again, data = extracted("all")
    trainer(4).fit(again, data, ckpt_path=str(tmp_path / "half.ckpt"), weights_only=True)
    assert torch.equal(again.head.weight, whole.head.weight)


def test_half_precision_reaches_the_head_as_fp32(extracted):
    _, data = extracted()
    assert data.to_input(torch.ones(2, 8, dtype=torch.float16), True, None).dtype == torch.float32


def test_only_training_images_have_several_views(digits):
    several = Features(torch.zeros(2, 3, 8), torch.zeros(3, dtype=torch.int64), 2)
    with pytest.raises(UsageError, match="`features` of test must have 1 view, but got 2"):
        FeaturesLT(digits(), {"test": several})


def test_features_of_other_counts_are_refused(digits):
    wrong = Features(torch.zeros(1, 3, 8), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(UsageError, match="class 0 number 3, but 100 were announced"):
        FeaturesLT(digits(), {"train": wrong}).setup("fit")


def test_splits_without_features_are_not_there(digits):
    data = FeaturesLT(digits(), {})
    assert data.split("val") is None
    with pytest.raises(UsageError, match="has no test images"):
        data.setup("test")
