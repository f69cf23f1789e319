import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_lightning.data.splits import (
    check_labels,
    classes_without,
    content_hash,
    file_hash,
    split_hash,
    split_pool,
    validation_counts,
)
from lt_lightning.errors import UsageError

labels_and_counts = st.lists(st.integers(5, 12), min_size=2, max_size=5).flatmap(
    lambda sizes: st.tuples(
        st.permutations([c for c, n in enumerate(sizes) for _ in range(n)]),
        st.tuples(*[st.integers(1, n - 3) for n in sizes]),
    )
)


def naive(labels, counts, val_from, val_per_class):
    """Row by row, in the pool's order."""
    train, val = [[] for _ in counts], [[] for _ in counts]
    for row, label in enumerate(labels):
        if val_from == "pool" and len(val[label]) < val_per_class:
            val[label].append(row)
        elif len(train[label]) < counts[label]:
            train[label].append(row)
        elif val_from == "unused" and len(val[label]) < val_per_class:
            val[label].append(row)
    return [row for rows in train for row in rows], [row for rows in val for row in rows]


@given(labels_and_counts, st.sampled_from(["unused", "pool", "none"]), st.integers(1, 3))
def test_first_images_are_taken_in_order(drawn, val_from, val_per_class):
    labels, counts = drawn
    chosen = split_pool(torch.tensor(labels), counts, val_from, val_per_class)
    train, val = naive(labels, counts, val_from, val_per_class)
    assert chosen.train.tolist() == train
    assert chosen.val.tolist() == val


@given(labels_and_counts, st.sampled_from(["unused", "pool", "train", "none"]), st.integers(0, 5))
def test_random_subsets_have_the_wanted_counts_and_share_no_image(drawn, val_from, seed):
    labels, counts = torch.tensor(drawn[0]), list(drawn[1])
    chosen = split_pool(labels, counts, val_from, val_per_class=3, val_fraction=0.3, subset=seed)
    again = split_pool(labels, counts, val_from, val_per_class=3, val_fraction=0.3, subset=seed)
    assert torch.equal(chosen.train, again.train)
    assert torch.equal(chosen.val, again.val)
    rows = torch.cat([chosen.train, chosen.val])
    assert len(rows.unique()) == len(rows)
    held = validation_counts(counts, 0.3) if val_from == "train" else [0] * len(counts)
    found = torch.bincount(labels[chosen.train], minlength=len(counts)).tolist()
    assert found == [n - h for n, h in zip(counts, held, strict=True)]
    val_found = torch.bincount(labels[chosen.val], minlength=len(counts)).tolist()
    pool = torch.bincount(labels).tolist()
    expected = {
        "unused": [min(3, p - n) for p, n in zip(pool, counts, strict=True)],
        "pool": [3] * len(counts),
        "train": held,
        "none": [0] * len(counts),
    }[val_from]
    assert val_found == expected
    assert labels[chosen.train].tolist() == sorted(labels[chosen.train].tolist())


def test_held_out_images_of_the_pool_do_not_depend_on_the_subset():
    labels = torch.arange(60) % 3
    splits = [split_pool(labels, [8, 4, 2], "pool", 5, subset=subset) for subset in ("first", 0, 1)]
    assert all(torch.equal(splits[0].val, other.val) for other in splits)
    assert not torch.equal(splits[1].train, splits[2].train)
    assert splits[0].val.tolist() == [*range(0, 15, 3), *range(1, 15, 3), *range(2, 15, 3)]


def test_validation_from_train_keeps_the_first_images_of_the_subset():
    labels = torch.zeros(30, dtype=torch.int64)
    chosen = split_pool(labels, [20], "train", val_fraction=0.1)
    assert chosen.train.tolist() == list(range(18))
    assert chosen.val.tolist() == [18, 19]


def test_a_subset_taken_whole_has_no_unused_images():
    chosen = split_pool(torch.tensor([0, 0, 1, 1, 1]), [2, 1], "unused", 20)
    assert chosen.val.tolist() == [3, 4]


@pytest.mark.parametrize(("count", "held"), [(1, 0), (2, 1), (4, 1), (14, 1), (15, 2), (100, 10)])
def test_validation_counts_leave_one_image_at_least(count, held):
    assert validation_counts([count], 0.1) == [held]
    assert validation_counts([count], 0.999)[0] <= max(0, count - 1)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_share_outside_zero_and_one_is_refused(fraction):
    with pytest.raises(UsageError, match=rf"`val_fraction` must lie between 0 and 1, but got {fraction}"):
        validation_counts([10], fraction)


def test_a_short_pool_is_refused_with_both_numbers():
    labels = torch.tensor([0] * 5 + [1] * 3)
    with pytest.raises(UsageError, match=r"3 images of class 1, but 4 are wanted; .* a smaller `max_count`\."):
        split_pool(labels, [5, 4], "none")
    with pytest.raises(UsageError, match="3 images of class 0 beside the 2 held out for validation, but 5 are wanted"):
        split_pool(labels, [5, 1], "pool", 2)


def test_a_place_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="`val_from` must be one of unused, pool, train, none, but got 'test'"):
        split_pool(torch.tensor([0, 1]), [1, 1], "test")


def test_labels_that_name_no_class_are_refused():
    check_labels(torch.tensor([0, 2]), 3, "x")
    with pytest.raises(UsageError, match=r"some\.file gives row 1 the label 3, but labels must lie between 0 and 2"):
        check_labels(torch.tensor([0, 3, -1]), 3, "some.file")
    with pytest.raises(UsageError, match=r"row 0 the label -1"):
        check_labels(torch.tensor([-1]), 3, "x")


def test_the_pixel_hash_sees_pixels_alone():
    images = torch.randint(0, 256, (6, 3, 4, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    reference = split_hash(images)
    assert len(reference) == 64
    assert split_hash(images.flip(0)) == reference
    assert split_hash(images.contiguous(memory_format=torch.channels_last)) == reference
    assert split_hash(torch.cat([images, images])[3:9]) == reference
    changed = images.clone()
    changed[2, 1, 3, 4] ^= 1
    assert split_hash(changed) != reference
    assert split_hash(images[:5]) != reference
    assert split_hash(torch.cat([images, images[:1]])) != reference


def test_the_pixel_hash_is_the_documented_one():
    import hashlib

    images = torch.tensor([[[[5]]], [[[3]]]], dtype=torch.uint8)
    parts = sorted(hashlib.sha256(bytes([value])).digest() for value in (5, 3))
    assert split_hash(images) == hashlib.sha256(b"".join(parts)).hexdigest()


def test_the_file_hash_sees_names_and_sizes_in_any_order():
    files = [("a/1.png", 10), ("b/2.png", 20)]
    assert file_hash(files) == file_hash(files[::-1])
    assert file_hash(files) != file_hash([("a/1.png", 10), ("b/2.png", 21)])
    assert file_hash(files) != file_hash([("a/1.png", 10), ("b/3.png", 20)])
    assert file_hash([("a", 11)]) != file_hash([("a1", 1)])


def test_the_content_hash_sees_the_bytes_of_files_in_any_order(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    found = content_hash(tmp_path, ["a", "b", "c"])
    assert found == content_hash(tmp_path, ["c", "a", "b"])
    assert found != content_hash(tmp_path, ["a", "b"]) == content_hash(tmp_path, ["a", "b", "lost"])
    (tmp_path / "c").write_bytes(b"d")
    assert found != content_hash(tmp_path, ["a", "b", "c"])


def test_the_content_hash_reads_evenly_spaced_files(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(type(tmp_path), "read_bytes", lambda path: seen.append(int(path.name)) or b"")
    content_hash(tmp_path, [f"{number:03}" for number in range(100)], sample=4)
    assert seen == [0, 25, 50, 75]


def test_classes_without_an_image_are_listed():
    assert classes_without(torch.tensor([0, 2, 2]), 4) == [1, 3]
