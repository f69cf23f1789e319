"""What a checkpoint says of its head is enough to read its weights as they act."""

import pytest
import torch

from lt_lightning import checkpoints, heads
from lt_lightning.checkpoints import RECORD
from lt_lightning.checkpoints.hand_back import hand_back
from lt_lightning.checkpoints.head_record import head_record
from lt_lightning.errors import UsageError

COUNTS = [9, 7, 5, 3, 3, 2, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("head", "arguments"),
    [
        (heads.LinearHead(8, COUNTS), {"reset": False}),
        (heads.TauNormHead(8, COUNTS, tau=0.5), {"tau": 0.5}),
        (heads.CosineHead(8, COUNTS, scale=4.0), {"scale": 4.0, "learnable_scale": False}),
        (heads.CosineHead(8, COUNTS, scale=4.0, learnable_scale=True), {"learnable_scale": True}),
        (heads.MaxNormHead(8, COUNTS, radius=2.0), {"threshold": 0.1, "project_every": "step"}),
        (torch.nn.Linear(8, 10, bias=False), {"out_features": 10, "bias": None}),
    ],
)
def test_arguments_are_read_off_the_head(head, arguments):
    found = head_record(head)
    assert found["class_path"].endswith(type(head).__name__)
    assert found["init_args"] == {name: value for name, value in arguments.items() if value is not None}


@pytest.mark.parametrize("head", [heads.TauNormHead(8, COUNTS, tau=0.5), heads.CosineHead(8, COUNTS)])
def test_a_file_of_a_module_made_in_python_is_read_as_its_head_acts(backbone, tmp_path, head):
    """Both heads keep a weight alone, and without a record neither can be told from a linear layer's."""
    tensors = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    tensors |= {f"head.{key}": value for key, value in head.state_dict().items()}
    record = {"class_counts": COUNTS}

    def classifier(**more):
        torch.save({"state_dict": tensors, RECORD: record | more}, tmp_path / "python.ckpt")
        found = checkpoints.match(checkpoints.read(tmp_path / "python.ckpt"), backbone)
        return found, checkpoints.find_classifier(found, 8, 10, tmp_path / "python.ckpt")

    found, unknown = classifier()
    assert torch.equal(unknown.weight, head.weight)
    found, known = classifier(head=head_record(head))
    if isinstance(head, heads.TauNormHead):
        torch.testing.assert_close(known.weight, head.to_linear().weight)
        assert known.note == "TauNormHead in its linear form"
    else:
        assert not known.is_linear
        with pytest.raises(UsageError, match="that is not linear, so its network would make something else"):
            hand_back(found, known, torch.nn.Linear(8, 10, bias=False), tmp_path / "better.ckpt")
