"""AutoAugment: the policy and the law of its draws."""

from collections import Counter

import pytest
import torch
from torchvision.transforms import v2

from lt_lightning.augmentations import AutoAugment
from lt_lightning.augmentations.auto_augment import CIFAR10_POLICY
from lt_lightning.augmentations.operations import CODES, OPERATIONS, SIGNED


def test_the_policy_is_torchvisions():
    theirs = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)._policies
    assert len(CIFAR10_POLICY) == len(theirs) == 25
    for ours, reference in zip(CIFAR10_POLICY, theirs, strict=True):
        for (name, chance, place), (their_name, their_chance, their_place) in zip(ours, reference, strict=True):
            assert (name.replace("_", ""), chance) == (their_name.lower(), their_chance)
            assert their_place in (None, place)


def test_the_law_of_operations():
    count = 50_000
    codes, magnitudes = AutoAugment().draw(count, 32, 32, torch.Generator().manual_seed(0))
    assert codes.shape == magnitudes.shape == (2, count)
    for step in (0, 1):
        expected = Counter()
        for pair in CIFAR10_POLICY:
            expected[pair[step][0]] += pair[step][1] / 25
        expected["identity"] = 1 - expected.total()
        for code, name in enumerate(OPERATIONS):
            found = float((codes[step] == code).double().mean())
            assert found == pytest.approx(expected[name], abs=0.008), name
    turned = codes == CODES["rotate"]
    assert magnitudes[turned].abs().unique().tolist() == pytest.approx([30 * 2 / 9])
    assert float((magnitudes[turned] < 0).double().mean()) == pytest.approx(0.5, abs=0.03)
    signed = torch.tensor([name in SIGNED for name in OPERATIONS])[codes]
    assert (magnitudes[~signed & (codes != CODES["identity"])] >= 0).all()


def test_the_two_operations_of_an_image_are_a_pair_of_the_policy():
    codes, _ = AutoAugment().draw(5_000, 32, 32, torch.Generator().manual_seed(0))
    both = {(OPERATIONS[a], OPERATIONS[b]) for a, b in codes.T.tolist() if a and b}
    assert both <= {(first[0], second[0]) for first, second in CIFAR10_POLICY}
    assert len(both) > 15


def test_what_comes_from_outside_is_filled(pictures):
    images = torch.full((400, 3, 32, 32), 200, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    assert (AutoAugment(fill=77)(images, generator) == 77).any()
