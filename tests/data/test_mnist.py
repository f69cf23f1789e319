import pytest
import torch
from made_data import write_mnist

from lt_lightning.data import MNISTLT
from lt_lightning.errors import UsageError


@pytest.mark.parametrize("variant", ["mnist", "fashion", "kmnist"])
def test_each_variant_is_read_from_torchvisions_files(tmp_path, variant):
    folder = {"mnist": "MNIST", "fashion": "FashionMNIST", "kmnist": "KMNIST"}[variant]
    write_mnist(tmp_path, folder, number=60)
    data = MNISTLT(variant, root=str(tmp_path), max_count=4, imbalance_ratio=2, val_per_class=1)
    data.prepare_data()
    data.setup("fit")
    assert torch.bincount(data.split("train").targets).tolist() == data.class_counts
    assert data.split("train").images.shape[1:] == (1, 28, 28)
    assert len(data.split("val")) == 10
    assert data.describe_split()["dataset"] == data.facts.name


def test_defaults_give_every_variant_the_same_counts():
    counts = [MNISTLT(variant).class_counts for variant in ("mnist", "fashion", "kmnist")]
    assert counts[0] == counts[1] == counts[2]
    assert counts[0][0] == 5000
    assert MNISTLT("fashion", max_count=None, profile="none").class_counts == [6000] * 10
    assert len(set(MNISTLT("fashion").class_names)) == 10


def test_another_variant_is_refused():
    with pytest.raises(UsageError, match=r"`data\.variant` must be one of mnist, fashion, kmnist, but got 'emnist'"):
        MNISTLT("emnist")


def test_the_complete_sets_are_those_of_the_papers():
    totals = {variant: MNISTLT(variant, profile="complete").class_counts for variant in ("mnist", "fashion", "kmnist")}
    assert {variant: sum(counts) for variant, counts in totals.items()} == dict.fromkeys(totals, 60_000)
    assert (min(totals["mnist"]), max(totals["mnist"])) == (5421, 6742)


def test_characters_are_neither_mirrored_nor_moved_by_default():
    data = MNISTLT()
    images = torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8)
    training = data.to_input(images, True, torch.Generator().manual_seed(0))
    assert torch.equal(training, data.to_input(images, False, None))


def test_real_digits_load_and_are_not_taken_for_clothes(shared):
    pytest.importorskip("pyarrow")
    root = str(shared / "data" / "mnist")
    data = MNISTLT(root=root, max_count=200, imbalance_ratio=50)
    data.setup("fit")
    assert len(data.split("train")) == sum(data.class_counts)
    complete = MNISTLT(root=root, profile="complete")
    assert torch.bincount(complete.open_source().labels("train")).tolist() == complete.class_counts
    inputs = data.to_input(data.split("train").images, False, None)
    assert abs(inputs.mean()) < 0.1
    assert abs(inputs.std() - 1) < 0.1
    with pytest.raises(UsageError, match=r"whose classes are 0, 1, 2, …, but T-shirt/top"):
        MNISTLT("fashion", root=root).prepare_data()
