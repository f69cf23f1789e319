"""What weights had been trained on before goes from file to file, whoever writes the next one."""

from types import MappingProxyType

import pytest
import torch
from torch import nn

from lt_lightning import checkpoints
from lt_lightning.backbones import SmallCNN
from lt_lightning.checkpoints import PUBLISHED, RECORD, UNKNOWN
from lt_lightning.checkpoints.past import trained_on
from lt_lightning.heads import LinearHead
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.main import main
from lt_lightning.modules import RepresentationModule, save_probed, save_retrained
from lt_lightning.modules.past import loaded_past, past_when_made
from lt_lightning.probing.network import past_of_network


@pytest.fixture
def foreign(tmp_path):
    """Weights of which nothing is recorded, with a classifier of the digits."""
    torch.manual_seed(0)
    model = nn.Module()
    model.backbone, model.fc = SmallCNN(8), nn.Linear(8, 10)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "foreign.pth")
    return tmp_path / "foreign.pth"


def stage2(tiny, here, checkpoint):
    before = set(here.rglob("last.ckpt"))
    main(tiny("fit", "RetrainModule", f"--model.checkpoint={checkpoint}", "--trainer.max_epochs=1"))
    (found,) = set(here.rglob("last.ckpt")) - before
    return found


def test_stage_2_of_a_file_that_records_nothing_says_so(tiny, here, foreign):
    first = stage2(tiny, here, foreign)
    source = checkpoints.read(first)
    assert source.past == [UNKNOWN]
    second = stage2(tiny, here, first)
    assert checkpoints.read(second).past == [UNKNOWN]
    assert checkpoints.read(second).origins == [trained_on(source.split), UNKNOWN]


def test_stage_2_of_our_own_stage_1_has_seen_no_other_images(tiny, here, stage1):
    first = stage2(tiny, here, stage1)
    assert checkpoints.read(stage1).past == checkpoints.read(first).past == []
    assert checkpoints.read(first).origins == checkpoints.read(stage1).origins
    assert checkpoints.read(stage1).origins[0]["train"]


def test_a_training_on_other_images_keeps_those_before(digits, stage1, trainer):
    other = digits(subset=3)
    module = RepresentationModule(
        other.class_counts, SmallCNN(8), group_thresholds=other.group_thresholds, allow_changed_data=True
    )
    module.on_load_checkpoint(torch.load(stage1, weights_only=True))
    run = trainer(max_epochs=1)
    run.fit(module, other)
    contents = {}
    module.on_save_checkpoint(contents)
    assert contents[RECORD]["past"] == checkpoints.read(stage1).origins
    assert contents[RECORD]["past"][0]["train"] != contents[RECORD]["split"]["hashes"]["train"]


def test_the_past_is_unknown_where_nothing_is_said(digits, stage1, tmp_path):
    data = digits()
    data.split("train")
    save_probed(tmp_path / "probe.ckpt", SmallCNN(8), LinearHead(8, data.class_counts), data)
    assert checkpoints.read(tmp_path / "probe.ckpt").past == [UNKNOWN]
    contents = torch.load(stage1, weights_only=True)
    del contents[RECORD]["past"]
    assert loaded_past(contents) == [trained_on(contents[RECORD]["split"]), UNKNOWN]


def test_heads_saved_without_a_trainer_record_the_file_that_they_began_with(digits, stage1, foreign, tmp_path):
    data = digits()
    data.split("train")
    head, loss = LinearHead(8, data.class_counts), CrossEntropyLoss(data.class_counts)
    for number, (path, past) in enumerate(((stage1, []), (foreign, [UNKNOWN]), ("gone.pth", [UNKNOWN]))):
        backbone = SmallCNN(8)
        if path != "gone.pth":
            backbone.load_state_dict(checkpoints.match(checkpoints.read(path), backbone).tensors)
        save_retrained(tmp_path / f"{number}.ckpt", str(path), backbone, head, loss, data)
        assert checkpoints.read(tmp_path / f"{number}.ckpt").past == past
    save_retrained(tmp_path / "known.ckpt", "gone.pth", SmallCNN(8), head, loss, data, past=[PUBLISHED])
    assert checkpoints.read(tmp_path / "known.ckpt").past == [PUBLISHED]


def test_published_weights_are_a_start_of_their_own():
    backbone = SmallCNN(8)
    assert past_when_made(backbone) == RepresentationModule([3, 2], backbone).past == []
    backbone.published_transform = {"mean": (0.5,), "std": (0.5,)}
    assert RepresentationModule([3, 2], backbone).past == [PUBLISHED]


def test_weights_of_a_file_that_a_backbone_brings_along_are_unknown(digits, trainer):
    class Loaded(SmallCNN):
        weights_file = "mine.pth"
        published_transform = MappingProxyType({"mean": (0.3053,), "std": (0.376,)})

    backbone, data = Loaded(8), digits()
    module = RepresentationModule(data.class_counts, backbone, group_thresholds=data.group_thresholds)
    trainer(max_epochs=1).fit(module, data)
    contents = {}
    module.on_save_checkpoint(contents)
    assert contents[RECORD]["past"] == [UNKNOWN] == past_of_network(backbone, None)


@pytest.mark.parametrize("split", ["unknown", None, [1]])
def test_a_split_that_is_no_mapping_is_no_record(split):
    contents = {RECORD: {"split": split, "past": [PUBLISHED]}}
    assert loaded_past(contents) == [UNKNOWN, PUBLISHED]
    RepresentationModule([3, 2], SmallCNN(8)).check_record(contents[RECORD], "It")
