"""The time for a list grows with its length: none of its elements is copied for each of the others."""

import copy
import json

import pytest
import yaml
from jsonargparse import ArgumentParser, _typehints

from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing.settings import SettingsParser
from lt_lightning.config_files import command_parser
from lt_lightning.export.rebuilding import rebuild
from lt_lightning.long_lists import allow_long_lists
from lt_lightning.losses import CrossEntropyLoss
from lt_lightning.main import LTCLI
from lt_lightning.modules import RepresentationModule, saving
from lt_lightning.records import read_record

LENGTH = 200
SMALL_STAGE1 = {"class_path": "RepresentationModule", "init_args": {"backbone": "SmallCNN"}}


class Weight(float):
    """A number that counts its copies."""

    copies = 0

    def __deepcopy__(self, memo):
        type(self).copies += 1
        return self


class OwnLoss(CrossEntropyLoss):
    def __init__(self, class_counts: list[int], weight: list[float] | None = None):
        super().__init__(class_counts, weight)


def copies_of_each():
    """How often each weight of a loss is copied until all are parsed and written."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--loss", type=CrossEntropyLoss)
    arguments = {"class_counts": [1] * LENGTH, "weight": [Weight(number) for number in range(LENGTH)]}
    Weight.copies = 0
    parsed = parser.parse_object({"loss": {"class_path": f"{__name__}.OwnLoss", "init_args": arguments}})
    parser.validate(parsed)
    assert vars(parsed.loss.init_args) == arguments
    return Weight.copies / LENGTH


@pytest.fixture(autouse=True)
def untouched(monkeypatch):
    monkeypatch.setattr(_typehints, "deepcopy", copy.deepcopy)


def test_no_element_is_copied_for_each_of_the_others():
    allow_long_lists()
    assert copies_of_each() < 10


def test_classes_in_a_list_keep_to_themselves():
    allow_long_lists()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--losses", type=list[CrossEntropyLoss])
    given = [{"class_path": f"{__name__}.OwnLoss", "init_args": {"class_counts": [count]}} for count in (1, 2)]
    parsed = parser.parse_args([f"--losses={json.dumps(given)}", "--losses.weight=[3.0]"])
    assert [loss.init_args.class_counts for loss in parsed.losses] == [[1], [2]]
    assert [loss.init_args.weight for loss in parsed.losses] == [None, [3.0]]


def test_a_class_in_a_list_takes_over_what_the_same_class_had(here, capsys):
    """Of what it takes that from jsonargparse strikes out arguments, for each element of the list."""
    (here / "mine.yaml").write_text(
        "trainer: {callbacks: {class_path: ModelCheckpoint, init_args: {monitor: val/accuracy, save_top_k: 3}}}\n"
        "model: {class_path: RepresentationModule, init_args: {backbone: SmallCNN}}\n"
        "data: DigitsLT\n"
    )
    callbacks = [{"class_path": "LearningRateMonitor"}, {"class_path": "ModelCheckpoint", "init_args": {"mode": "max"}}]
    with pytest.raises(SystemExit):
        LTCLI(["fit", "-c", "mine.yaml", f"--trainer.callbacks={json.dumps(callbacks)}", "--print_config"])
    kept = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"][1]["init_args"]
    assert (kept["monitor"], kept["save_top_k"], kept["mode"]) == ("val/accuracy", 3, "max")


def test_values_may_still_be_appended():
    allow_long_lists()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--names", type=list[str])
    assert parser.parse_args(["--names=[a, b]", "--names+=c", "--names+=[d, e]"]).names == list("abcde")


@pytest.mark.parametrize(
    "make",
    [
        lambda stage1: command_parser("mine", "What it does.", "A file."),
        lambda stage1: LTCLI({"model": SMALL_STAGE1, "data": "DigitsLT", "trainer.logger": False}, run=False),
        lambda stage1: SettingsParser(),
        lambda stage1: rebuild(read_record(stage1)),
        lambda stage1: saving._complete(RepresentationModule([2, 1], SmallCNN(8)), {"backbone": "SmallCNN"}),
    ],
    ids=["command", "fit", "compare", "export", "save"],
)
def test_who_makes_a_parser_allows_them(make, stage1, here):
    make(stage1)
    assert copies_of_each() < 10
