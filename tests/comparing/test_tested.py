"""Classes without test images are no silent part of a mean."""

import pytest

from lt_lightning.comparing.leaderboard import leaderboard
from lt_lightning.errors import UsageError


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse", "ignore:No method is better")
def test_classes_without_test_images_are_named(run, make_data):
    data = make_data()
    images = data.split("test")
    images.targets = images.targets.clamp(max=7)
    with pytest.warns(UserWarning, match="classes have no test image"):
        found = run("tau_norm", data=data)
    assert "2 of 10 classes have no test image and are left out of the accuracies: ship, truck." in found.warnings
    heads = [column.header for column in leaderboard(found).columns]
    counts = data.class_counts[:8]
    many, few = sum(count > 5 for count in counts), sum(count < 3 for count in counts)
    assert heads[1:5] == ["all\n8", f">5\n{many}", f"medium\n{8 - many - few}", f"<3\n{few}"]


def test_test_images_of_no_known_class_judge_nothing(run, make_data, monkeypatch):
    monkeypatch.setattr("lt_lightning.comparing.comparison.extract_all", lambda _: pytest.fail("too late"))
    data = make_data()
    data.split("test").targets[3] = -1
    with pytest.raises(UsageError, match="`CIFAR10LT` has test images of which no class is known, 1 in all"):
        run("tau_norm", data=data)
