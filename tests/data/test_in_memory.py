import pytest
import torch

from lt_lightning.augmentations import Cutout, NoAugmentation
from lt_lightning.data.in_memory import InMemoryLT, SetFacts
from lt_lightning.data.sources import ArraySource
from lt_lightning.data.splits import split_hash
from lt_lightning.errors import UsageError


def make_source(channels=3):
    """Three classes of 20 training and 4 test images; every image is unlike every other."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (72, channels, 6, 6), generator=generator, dtype=torch.uint8)
    labels = torch.arange(72) % 3
    return ArraySource({"train": images[:60], "test": images[60:]}, {"train": labels[:60], "test": labels[60:]})


class ThreeLT(InMemoryLT):
    opened = 0
    reads: list[int]
    source = make_source()

    @property
    def facts(self):
        return SetFacts("three", ("a", "b", "c"), (20, 20, 20), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))

    def open_source(self):
        self.opened += 1
        return self.source


def test_facts_are_known_before_any_image_is_read():
    data = ThreeLT(imbalance_ratio=4)
    assert data.class_counts == [20, 10, 5]
    assert data.class_names == ["a", "b", "c"]
    assert data.num_classes == 3
    assert data.opened == 0


@pytest.mark.parametrize(
    ("val_from", "counts", "val_counts"),
    [("unused", [20, 10, 5], [0, 3, 3]), ("pool", [17, 8, 4], [3, 3, 3]), ("train", [18, 9, 4], [2, 1, 1])],
)
def test_validation_follows_its_rule(val_from, counts, val_counts):
    data = ThreeLT(imbalance_ratio=4, val_from=val_from, val_per_class=3)
    assert data.class_counts == counts
    data.setup("fit")
    train, val = data.split("train"), data.split("val")
    assert torch.bincount(train.targets).tolist() == counts
    assert torch.bincount(val.targets, minlength=3).tolist() == val_counts
    everything = torch.cat([train.images, val.images]).flatten(1)
    assert len(everything.unique(dim=0)) == len(everything)


def test_train_and_val_are_read_in_one_pass(monkeypatch):
    reads = []
    original = ArraySource.images
    monkeypatch.setattr(
        ArraySource,
        "images",
        lambda self, split, indices: reads.append((split, len(indices))) or original(self, split, indices),
    )
    data = ThreeLT(imbalance_ratio=4, val_per_class=3)
    data.setup("fit")
    data.setup("fit")
    data.setup("test")
    assert reads == [("train", 35 + 6), ("test", 12)]


def test_a_load_of_ones_own_makes_every_split():
    class Inverted(ThreeLT):
        def load(self, split):
            found = super().load(split)
            found.images = 255 - found.images
            return found

    for first, then in (("train", "val"), ("val", "train")):
        data, plain = Inverted(imbalance_ratio=4), ThreeLT(imbalance_ratio=4)
        for split in (first, then):
            assert torch.equal(data.split(split).images, 255 - plain.split(split).images)


def test_without_validation_images_there_is_no_validation_split():
    data = ThreeLT(imbalance_ratio=4, val_from="none")
    data.setup("fit")
    assert data.split("val") is None
    assert data.val_dataloader() == []
    full = ThreeLT(profile="none")
    full.setup("fit")
    assert full.class_counts == [20, 20, 20]
    assert full.split("val") is None


def made_of(number):
    """The first training images of the three classes, and what is to be known of all of them."""
    facts = SetFacts("three", ("a", "b", "c"), (20, 19, 19), (0.5,) * 3, (0.2,) * 3)
    images, labels = make_source().images("train", torch.arange(number)), torch.arange(number) % 3

    class UnequalLT(ThreeLT):
        source = ArraySource({"train": images, "test": images[:3]}, {"train": labels, "test": labels[:3]})

    UnequalLT.facts = facts
    return UnequalLT


@pytest.mark.parametrize(
    ("val_from", "counts"),
    [("none", [20, 19, 19]), ("unused", [20, 19, 19]), ("pool", [17, 16, 16]), ("train", [18, 17, 17])],
)
def test_a_complete_set_trains_on_all_that_is_not_held_out(val_from, counts):
    data = made_of(58)(profile="complete", max_count=5, val_from=val_from, val_per_class=3)
    assert data.class_counts == counts
    data.setup("fit")
    assert torch.bincount(data.split("train").targets).tolist() == counts
    assert (data.split("val") is None) == (val_from in ("none", "unused"))
    assert data.describe_split()["profile"] == "complete"


def test_a_part_is_not_taken_for_the_complete_set():
    for images, message in (
        (57, "all 20 images of class 0 of three, but .* 19"),
        (60, "all 19 images of class 1 .* 20"),
    ):
        with pytest.raises(UsageError, match=f"complete takes {message}; use the set as published"):
            made_of(images)(profile="complete").setup("fit")


def test_an_explicit_largest_count_is_kept_whatever_is_held_out():
    assert ThreeLT(imbalance_ratio=4, max_count=12, val_from="pool", val_per_class=3).class_counts == [12, 6, 3]


def test_the_record_names_choices_sizes_and_hashes():
    data = ThreeLT(imbalance_ratio=4.5, val_per_class=3)
    assert data.describe_split()["sizes"] == {}
    data.setup("fit")
    record = data.describe_split()
    assert record == {
        "dataset": "three",
        "profile": "exponential",
        "imbalance_ratio": 4.5,
        "real_imbalance_ratio": 5.0,
        "subset": "first",
        "val_from": "unused",
        "val_per_class": 3,
        "val_fraction": None,
        "val_repeats_left_out": 0,
        "sizes": {"train": 33, "val": 6},
        "hashes": {"train": split_hash(data.split("train").images), "val": split_hash(data.split("val").images)},
        "hash_of": "pixels",
        "classes_without_validation": [0],
    }
    data.setup("test")
    assert set(data.describe_split()["hashes"]) == {"train", "val", "test"}


def test_equal_choices_give_equal_hashes_and_other_seeds_others():
    def train_hash(**choices):
        data = ThreeLT(imbalance_ratio=4, **choices)
        data.setup("fit")
        return data.describe_split()["hashes"]["train"]

    assert train_hash(subset=1) == train_hash(subset=1)
    assert len({train_hash(subset=1), train_hash(subset=2), train_hash()}) == 3


def test_evaluation_input_is_normalised_and_nothing_else():
    data = ThreeLT()
    images = make_source().images("test", torch.arange(12))
    result = data.to_input(images, False, None)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.facts.mean, data.facts.std))
    torch.testing.assert_close(result, (images / 255 - mean) / std, rtol=1e-5, atol=1e-5)


def test_training_input_is_cropped_and_flipped_from_the_generator():
    data, still = ThreeLT(crop_padding=2), ThreeLT(crop_padding=0, flip=False)
    images = make_source().images("train", torch.arange(60))
    first = data.to_input(images, True, torch.Generator().manual_seed(1))
    assert torch.equal(first, data.to_input(images, True, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, data.to_input(images, True, torch.Generator().manual_seed(2)))
    plain = data.to_input(images, False, None)
    assert not torch.equal(first, plain)
    assert torch.equal(still.to_input(images, True, torch.Generator().manual_seed(1)), plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"val_per_class": 0}, r"`data\.val_per_class` must be at least 1, but got 0; for no validation images use"),
        ({"crop_padding": -1}, r"`data\.crop_padding` must be at least 0, but got -1"),
        ({"subset": -1}, r'`data\.subset` must be "first" or a seed of at least 0, but got -1'),
        ({"subset": "last"}, r'`data\.subset` must be "first" or a seed of at least 0, but got \'last\''),
        ({"profile": "long-tail"}, r"`data\.profile` must be one of .*, step, none, complete, but got 'long-tail'"),
        ({"val_from": "test"}, r"`data\.val_from` must be one of unused, pool, train, none, but got 'test'"),
        ({"augmentation": Cutout(2)}, r"`data\.augmentation` must be what makes one, such as the class `Cutout` or"),
    ],
)
def test_values_of_no_use_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        ThreeLT(**arguments)


def test_impossible_profiles_are_refused_before_loading():
    with pytest.raises(UsageError, match=r"`imbalance_ratio` 50 leaves class 2 without an image"):
        _ = ThreeLT(imbalance_ratio=50).class_counts
    with pytest.raises(UsageError, match=r"`val_fraction` must lie between 0 and 1, but got 2"):
        _ = ThreeLT(imbalance_ratio=4, val_from="train", val_fraction=2.0).class_counts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"max_count": 30},
            r"The pool has 20 images of class 0, but 30 are wanted; .* or a smaller `max_count`\.",
        ),
        (
            {"max_count": 20, "val_from": "pool", "val_per_class": 5},
            r"The pool has 15 images of class 0 beside the 5 held out for validation, but 20 are wanted; give "
            r"all files of the set",
        ),
    ],
)
def test_a_short_pool_says_what_would_fit(arguments, message):
    with pytest.raises(UsageError, match=message):
        ThreeLT(imbalance_ratio=4, **arguments).setup("fit")


def test_images_of_another_kind_are_refused():
    class Grey(ThreeLT):
        source = make_source(channels=1)

    with pytest.raises(UsageError, match=r"The images of three have 1 channels, but 3 are expected"):
        Grey(imbalance_ratio=4).setup("fit")


@pytest.mark.parametrize(("stage", "name", "label"), [("fit", "training", 3), ("test", "test", -1)])
def test_labels_of_another_set_are_refused(stage, name, label):
    class Four(ThreeLT):
        source = ArraySource(
            dict.fromkeys(("train", "test"), torch.zeros(4, 3, 2, 2, dtype=torch.uint8)),
            {"train": torch.arange(4), "test": torch.tensor([0, 1, 2, -1])},
        )

    with pytest.raises(UsageError, match=rf"The {name} set of three gives row 3 the label {label}"):
        Four(imbalance_ratio=4).setup(stage)


def test_a_validation_image_that_trains_too_is_left_out():
    class Repeating(ThreeLT):
        source = make_source()

    images = Repeating.source._images["train"]
    images[21] = images[0]  # class 0 trains on rows 0, 3, …, 18 and has rows 21, 24 and 27 unused
    data = Repeating(imbalance_ratio=1, max_count=7, val_per_class=3)
    data.setup("fit")
    assert torch.bincount(data.split("val").targets).tolist() == [2, 3, 3]
    assert data.describe_split()["val_repeats_left_out"] == 1
    assert data.class_counts == [7, 7, 7]


def test_views_are_all_that_augmentation_can_make():
    data = ThreeLT(crop_padding=1)
    images = make_source().images("train", torch.arange(2))
    views = torch.stack([data.to_view(images, view) for view in range(data.count_views())])
    assert data.count_views() == 18
    assert len(views.flatten(1).unique(dim=0)) == 18
    assert torch.equal(views[4], data.to_input(images, False, None))
    for seed in range(20):
        drawn = data.to_input(images, True, torch.Generator().manual_seed(seed))
        assert all(any(torch.equal(drawn[row], view[row]) for view in views) for row in range(2))
    assert ThreeLT(crop_padding=1, flip=False).count_views() == 9
    assert ThreeLT(crop_padding=0, flip=False).count_views() == 1


def test_the_transform_is_described_by_what_changes_it():
    plain = ThreeLT().describe_transform(training=False)
    assert plain == ThreeLT(crop_padding=1, flip=False, batch_size=7).describe_transform(training=False)
    assert plain["mean"] == (0.5, 0.4, 0.3)
    found = ThreeLT().describe_transform(True)
    assert found.pop("augmentation")["class"].endswith("NoAugmentation")
    assert found == plain | {"crop_padding": 4, "flip": True}
    cut = ThreeLT(augmentation=Cutout)
    assert cut.describe_transform(False) == plain
    assert cut.describe_transform(True)["augmentation"] == Cutout().describe()


def test_other_augmentation_comes_after_crop_and_flip_and_before_normalisation():
    seen = []

    class Note(NoAugmentation):
        def __call__(self, images, generator=None):
            seen.append((images, generator))
            return 255 - images

    images = torch.randint(0, 256, (40, 3, 6, 6), dtype=torch.uint8)
    plain, noted = ThreeLT(), ThreeLT(augmentation=Note)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    cropped = plain.to_input(images, True, generators[0])
    negative = noted.to_input(images, True, generators[1])
    assert [generator for _, generator in seen] == [generators[1]]
    torch.testing.assert_close(plain.to_input(seen[0][0], False, None), cropped)
    torch.testing.assert_close(plain.to_input(255 - seen[0][0], False, None), negative)
    torch.testing.assert_close(noted.to_input(images, False, None), plain.to_input(images, False, None))
    assert len(seen) == 1


def test_all_views_are_refused_where_there_is_other_augmentation():
    with pytest.raises(UsageError, match=r"`data\.augmentation` Cutout there are more views than can be listed"):
        ThreeLT(augmentation=Cutout).count_views()


def test_all_views_are_refused_where_a_subclass_makes_its_input_in_another_way():
    class Grey(ThreeLT):
        def to_input(self, images, training, generator):
            return super().to_input(images, training, generator).mean(1, keepdim=True)

    with pytest.raises(UsageError, match=r'`views` "all" needs augmentation .*but `Grey` has none; give a number'):
        Grey().count_views()

    class Noisy(ThreeLT):
        def finish(self, images, training, generator):
            return super().finish(images, training, generator) + training * torch.rand(1, generator=generator)

    with pytest.raises(UsageError, match=r'`views` "all" needs augmentation .*but `Noisy` has none; give a number'):
        Noisy().count_views()


def test_views_end_as_evaluation_does():
    class Plain(ThreeLT):
        def finish(self, images, training, generator):
            return images / 255

    images = make_source().images("train", torch.arange(2))
    assert torch.equal(Plain(crop_padding=1).to_view(images, 4), images / 255)


def test_held_out_training_images_are_put_back():
    data = ThreeLT(imbalance_ratio=4, val_from="train")
    held = len(data.split("val"))
    record = data.describe_split()
    whole = data.with_held_out()
    assert len(whole.split("train")) == len(data.split("train")) + held
    assert whole.class_counts == ThreeLT(imbalance_ratio=4, val_from="none").class_counts
    assert whole.split("val") is None
    assert data.describe_split() == record
    unused = ThreeLT(imbalance_ratio=4)
    assert unused.with_held_out() is unused


@pytest.mark.parametrize("val_from", ["unused", "pool", "train", "none"])
def test_the_pool_is_as_balanced_as_its_smallest_class_allows(val_from):
    options = {"imbalance_ratio": 4, "max_count": 7, "val_from": val_from, "val_per_class": 3}
    data = ThreeLT(**options)
    pool = data.balanced_pool()
    assert len(set(pool.class_counts)) == 1
    smallest = int(torch.bincount(data.source.labels("train")).min())
    assert torch.bincount(pool.split("train").targets).tolist() == [smallest] * 3
    assert data.class_counts == ThreeLT(**options).class_counts
