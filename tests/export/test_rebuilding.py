"""Checkpoints that make a module again, and those that do not."""

import pytest
import torch

from lt_lightning import export
from lt_lightning.errors import UsageError


def test_checkpoints_that_cannot_be_made_again_are_named(here, stage1):
    def changed(name, change):
        contents = torch.load(stage1, weights_only=True)
        change(contents)
        torch.save(contents, here / name)
        with pytest.raises(UsageError) as refused:
            export.export(name, "model.pt2")
        return str(refused.value)

    def of_python(contents):
        del contents["hyper_parameters"]["_class_path"]

    def other_head(contents):
        contents["hyper_parameters"]["head"]["class_path"] = "gone.Head"

    def other_weights(contents):
        contents["state_dict"]["head.weight"] = torch.zeros(3, 3)

    def no_record(contents):
        del contents["lt_lightning"]

    assert "holds a model that was made in Python" in changed("python.ckpt", of_python)
    assert "cannot be made into a lt_lightning.RepresentationModule again" in changed("head.ckpt", other_head)
    assert "size mismatch" in changed("weights.ckpt", other_weights)
    assert "is no checkpoint of this package" in changed("foreign.ckpt", no_record)
    assert not list(here.glob("model*"))
