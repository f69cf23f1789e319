"""Two processes work on the same images, or on none."""

import re
import tempfile
from collections import UserList
from pathlib import Path

import pytest
import torch

from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import command as comparing
from lt_lightning.data import DigitsLT
from lt_lightning.data.same_images import check_same_images
from lt_lightning.errors import UsageError
from lt_lightning.probing import command as probing
from tests.two_processes import in_two_processes

ALL = ("train", "val", "test")


class Staged(DigitsLT):
    """Digits of which one process may have other test images, not all of them, or none that can be loaded."""

    def __init__(self, test="whole", **options):
        super().__init__(**options)
        self.test = test

    def load(self, split):
        images = super().load(split)
        if split != "test" or self.test == "whole":
            return images
        if self.test == "broken":
            raise OSError("no such disk")
        if self.test == "old":
            return self._made("test", 255 - images.images, images.targets)
        return self._made("test", images.images[:30], images.targets[:30])


class Late(DigitsLT):
    """Knows what there is to record when its `setup` is done."""

    def setup(self, stage):
        super().setup(stage)
        self.noted = stage

    def describe_split(self):
        return {**super().describe_split(), "noted": self.noted}


class Listed(UserList):
    """Two images of one class, which are the test set of itself."""

    class_counts, class_names, targets = (1, 1), ("a", "b"), torch.zeros(2)
    paths = property(list)

    def split(self, name):
        return self

    def describe_split(self):
        return {"hashes": {"test": "of the same files"}}


def said(work, *arguments):
    """The error of a work, or nothing."""
    try:
        work(*arguments)
    except (UsageError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def work(rank):
    """What this one of two processes says of data that differ, and of those that do not."""
    found = [
        said(check_same_images, Staged(), ALL),
        said(check_same_images, Staged(test="old" if rank else "whole"), ("train", "val")),
        said(check_same_images, Staged(test="cut" if rank else "whole", subset=rank), ALL),
        said(check_same_images, Staged(test="old" if rank else "whole"), ["test"]),
        said(check_same_images, Staged(imbalance_ratio=50 + rank), ["test"]),
        said(check_same_images, Staged(test="broken" if rank else "whole"), ["test"]),
        said(check_same_images, Staged(test="whole" if rank else "broken"), ["test"]),
        said(Staged(test="old" if rank else "whole").setup, "test"),  # of a process that uses its images by itself
        said(check_same_images, Late(), ["test"]),
        said(check_same_images, Listed(["x", "y"] if rank else ["y", "x"]), ["test"]),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(SmallCNN().state_dict(), path)
        line = [f"--checkpoint={path}", "--backbone=SmallCNN", "--data=DigitsLT", f"--data.subset={rank}"]
        for command, name in ((comparing, "compare"), (probing, "probe")):
            found.append(said(command.main, [name, *line, f"--output={folder}/runs", "--features.device=cpu"]))
    return found


@pytest.mark.slow
def test_all_processes_refuse_images_that_differ(tmp_path):
    first, second = in_two_processes(work, tmp_path)
    said_by_both = zip(first, second, strict=True)
    same, validated, several, old, shorter, broken, broken_first, alone, late, order, *commands = said_by_both
    assert same == validated == alone == late == ("", "")
    others = r"UsageError: `data` holds other images for process 1 \(host .+\) than for process 0 \(host .+\): "
    for (one, other), sentence in (
        (several, "others of train, 30 against 500 of test; give all processes the same files"),
        (old, "others of test; "),
        (order, "others of test; "),
        (shorter, r"\d+ against \d+ of train; "),
        *((command, "others of train; ") for command in commands),
    ):
        assert one == other
        assert re.match(others + sentence, one)
    assert broken[1] == broken_first[0] == "OSError: no such disk"
    assert re.match(r"UsageError: Process 1 \(host .+\) has stopped: no such disk", broken[0])
    assert re.match(r"UsageError: Process 0 \(host .+\) has stopped: no such disk", broken_first[1])


def test_a_single_process_loads_nothing():
    data = Staged(test="broken")
    check_same_images(data, ALL)
    assert data.describe_split()["sizes"] == {}
