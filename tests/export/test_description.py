"""What a program says of itself."""

import json

import pytest

import lt_lightning
from lt_lightning.export import Program, describe, rebuild
from lt_lightning.records import read_record


@pytest.mark.parametrize("inside", [True, False])
def test_whoever_prepares_images_learns_what_is_left_to_do(stage1, inside):
    record = read_record(stage1)
    image = record.pre_processing(image_size=12)
    program = Program(rebuild(record), image if inside else None, 1.0, logits=not inside)
    described = describe(record, image, program)
    assert json.loads(json.dumps(described)) == described
    assert described["lt_lightning"] == lt_lightning.__version__
    assert described["input"]["shape"] == ["batch", 1, 12, 12]
    assert described["output"]["name"] == ("probabilities" if inside else "logits")
    assert described["pre_processing"]["normalization_included"] == inside
    assert described["pre_processing"]["steps"].endswith("pixels over 255" if inside else "divide by std")
