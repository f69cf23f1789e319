"""What our checkpoints say of themselves."""

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.records import Record, read_record


def record(**known):
    values = {
        "path": "last.ckpt",
        "class_counts": [3, 1],
        "class_names": ["a", "b"],
        "transform": {"mean": (0.5,) * 3, "std": (0.2,) * 3, "image_size": 224, "resize": 256},
        "input_shape": (3, 224, 224),
        "epochs": 1,
        "model": None,
        "tensors": {},
    }
    return Record(**values | known)


def test_a_run_leaves_what_its_user_needs(stage1):
    found = read_record(stage1)
    assert found.class_counts == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    assert found.class_names == list("0123456789")
    assert found.input_shape == (1, 8, 8)
    assert found.epochs == 2
    assert found.model["class_path"].endswith("RepresentationModule")
    assert found.model["init_args"]["backbone"]["init_args"]["num_features"] == 8
    image = found.pre_processing()
    assert (image.image_size, image.resize, image.mean, image.std, image.order) == (8, 8, (0.3053,), (0.376,), "L")


def test_the_callers_knowledge_goes_before_the_files():
    image = record().pre_processing(image_size=112, mean=[0, 0.1, 0.2], std=[1, 1, 1])
    assert (image.image_size, image.resize, image.mean, image.order) == (112, 128, (0.0, 0.1, 0.2), "RGB")


@pytest.mark.parametrize(
    ("known", "given", "sentence"),
    [
        ({"transform": {}}, {}, r"'last.ckpt' does not record the `mean` of its images; give `data.mean`"),
        ({"transform": {}, "input_shape": None}, {}, "does not record the `image_size`"),
        ({"input_shape": (3, 30, 20)}, {}, "does not record the `image_size`"),
        ({"input_shape": (20,)}, {"image_size": 20}, "'last.ckpt' was trained on vectors of 20, but `export` and"),
        ({"input_shape": (2, 50)}, {}, r"was trained on inputs of shape \(2, 50\), but `export` and `PredictFolder`"),
        ({}, {"mean": [0.5]}, r"must hold 3 numbers, one per channel, .* but got \[0.5\] and \[0.2, 0.2, 0.2\]"),
        ({}, {"std": [1, 1, 0]}, r"those of `std` above 0, but got .* and \[1.0, 1.0, 0.0\]"),
        ({}, {"image_size": 0}, "`data.image_size` must be at least 1, but got 0"),
    ],
)
def test_what_is_not_known_or_wrong_is_named(known, given, sentence):
    with pytest.raises(UsageError, match=sentence):
        record(**known).pre_processing(**given, options="data.")


def test_files_of_others_are_named(tmp_path):
    torch.save({"state_dict": {"fc.weight": torch.zeros(2, 2)}}, tmp_path / "model.pth")
    with pytest.raises(UsageError, match=r"`data.checkpoint` '.*model.pth' is no checkpoint of this package"):
        read_record(tmp_path / "model.pth", "data.checkpoint")
    with pytest.raises(UsageError, match=r"`ckpt_path` 'gone.ckpt' is not a file; give a `last.ckpt`"):
        read_record("gone.ckpt", "ckpt_path")


def test_a_damaged_file_is_named_by_the_option_that_gave_it(tmp_path):
    (tmp_path / "half.ckpt").write_bytes(b"PK\x03\x04 half of it")
    with pytest.raises(UsageError, match=r"`ckpt_path` .* is truncated or holds no weights"):
        read_record(tmp_path / "half.ckpt", "ckpt_path")
