"""A module as one function."""

import pytest
import torch

from lt_lightning.export import Program, rebuild
from lt_lightning.records import read_record


@pytest.mark.parametrize("logits", [False, True])
def test_it_normalises_and_divides_by_the_temperature(stage1, logits):
    record = read_record(stage1)
    module, image = rebuild(record), record.pre_processing()
    images = torch.rand(3, 1, 8, 8)
    expected = module((images - image.mean[0]) / image.std[0]) / 1.7
    found = Program(module, image, 1.7, logits)(images)
    torch.testing.assert_close(found, expected if logits else expected.softmax(1))


def test_normalised_images_are_taken_as_they_are(stage1):
    module = rebuild(read_record(stage1))
    images = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(Program(module, None, 1.0, True)(images), module(images))
