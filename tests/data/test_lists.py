import pytest

from lt_lightning.data import ImageListLT
from lt_lightning.errors import UsageError


def lists(root, **choices):
    return ImageListLT(
        root=str(root),
        **{"train_list": "train.txt", "val_list": "val.txt", "test_list": "test.txt", "num_workers": 0, **choices},
    )


def test_counts_come_from_the_list_alone(list_root, monkeypatch):
    monkeypatch.setattr("PIL.Image.open", lambda *args: pytest.fail("no image may be read"))
    data = lists(list_root)
    assert data.class_counts == [3, 7, 2]
    assert data.class_names == ["0", "1", "2"]
    assert lists(list_root).num_classes == 3


def test_names_come_first_when_asked_first(list_root):
    assert lists(list_root).class_names == ["0", "1", "2"]
    assert lists(list_root, class_names=["x", "y", "z"]).class_names == ["x", "y", "z"]


def test_names_may_be_in_a_file(list_root):
    (list_root / "names.txt").write_text("\nold oak\nMalmö, 東京 \n12\n", encoding="utf-8-sig")
    data = lists(list_root, class_names="names.txt")
    assert data.class_counts == [3, 7, 2]
    assert data.class_names == ["old oak", "Malmö, 東京", "12"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("none.txt", r"`class_names` none\.txt is not a file, and neither is .*none\.txt"),
        ("blank.txt", r"blank\.txt is empty; a line with its name is expected for each class\.$"),
    ],
)
def test_names_that_are_none_are_named(list_root, given, message):
    (list_root / "blank.txt").write_text("\n")
    with pytest.raises(UsageError, match=message):
        _ = lists(list_root, class_names=given).class_counts


def test_each_split_is_its_list(list_root):
    data = lists(list_root, val_list=str(list_root / "val.txt"), image_size=16, eval_batch_size=2)
    data.setup("fit")
    data.setup("test")
    assert data.split("train").targets.tolist() == [0] * 3 + [1] * 7 + [2] * 2
    assert list(data.split("test").paths) == [f"pictures/test {label} 0.png" for label in range(3)]
    batches = list(data.test_dataloader())
    assert sum(len(targets) for _, targets in batches) == 3
    assert batches[0][0].shape[1:] == (3, 16, 16)
    assert data.describe_split()["sizes"] == {"train": 12, "val": 3, "test": 3}


def test_lists_are_optional(list_root):
    data = lists(list_root, val_list=None, test_list=None)
    data.setup("fit")
    assert data.split("val") is None
    with pytest.raises(UsageError, match=r"has no test images; `test` needs some: give `data.test_list`"):
        data.setup("test")


def test_validation_may_come_from_the_training_list(list_root):
    data = lists(list_root, val_from="train", val_fraction=0.3)
    assert data.class_counts == [2, 5, 1]
    data.setup("fit")
    assert len(data.split("val")) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pictures/a.png", r"train\.txt, line 3, reads 'pictures/a\.png', but a path and a class number of at least 0"),
        ("pictures/a.png -1", r"line 3, reads 'pictures/a\.png -1'"),
        ("pictures/a.png 1.0", r"line 3, reads"),
        ("pictures/a.png cat", r"line 3, reads"),
        ("7", r"line 3, reads '7'"),
        ("pictures/a.png 99999999999999999999", r"line 3, reads 'pictures/a\.png 9+', but a path and a class number"),
        ("pictures/a.png 1_0", r"line 3, reads"),
    ],
)
def test_a_line_that_does_not_fit_is_named(list_root, line, message):
    path = list_root / "train.txt"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:1], "", line, *rows[1:]]))
    with pytest.raises(UsageError, match=message):
        _ = lists(list_root).class_counts


def test_tabs_and_blank_ends_are_understood(list_root):
    path = list_root / "train.txt"
    path.write_text("\n".join("\t".join(row.rsplit(" ", 1)) + "  " for row in path.read_text().splitlines()))
    assert lists(list_root).class_counts == [3, 7, 2]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lists_may_come_from_windows(list_root, encoding):
    for path in list_root.glob("*.txt"):
        text = path.read_text().replace("pictures/", "Bilder/größe ")
        path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    (list_root / "Bilder").mkdir()
    for path in (list_root / "pictures").iterdir():
        path.rename(list_root / "Bilder" / f"größe {path.name}")
    data = lists(list_root)
    data.setup("fit")
    assert data.class_counts == [3, 7, 2]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_list_that_is_not_utf_8_is_named(list_root, encoding):
    (list_root / "train.txt").write_bytes("größe.png 0\n".encode(encoding))
    with pytest.raises(UsageError, match=r"train\.txt is not text in UTF-8 \(.*\); save it as that"):
        _ = lists(list_root).class_counts


def test_a_number_far_too_large_for_a_class_takes_no_memory(list_root):
    with (list_root / "train.txt").open("a") as file:
        file.write("\npictures/a.png 999999999999\n")
    with pytest.raises(UsageError, match=r"has no training image of class 3 of 1000000000000; every class needs one"):
        _ = lists(list_root).class_counts


def test_a_class_without_a_training_image_is_named(list_root):
    path = list_root / "train.txt"
    path.write_text("".join(row for row in path.read_text().splitlines(True) if not row.endswith(" 1\n")))
    with pytest.raises(UsageError, match=r"train\.txt has no training image of class 1 of 3; every class needs one"):
        _ = lists(list_root).class_counts
    with pytest.raises(UsageError, match=r"has no training image of class 3 of 4"):
        lists(list_root, train_list="val.txt", class_names=list("abcd")).setup("fit")


def test_one_class_is_none(list_root):
    path = list_root / "train.txt"
    path.write_text("".join(row for row in path.read_text().splitlines(True) if row.endswith(" 0\n")))
    with pytest.raises(UsageError, match=r"train\.txt has the class 0 alone, and nothing can be told apart from it"):
        _ = lists(list_root).class_counts


def test_a_label_beyond_the_classes_is_named(list_root):
    with (list_root / "test.txt").open("a") as file:
        file.write("\npictures/test 0 0.png 3\n")
    with pytest.raises(UsageError, match=r"test\.txt, line 5, has the label 3, but the 3 classes are numbered 0 to 2"):
        lists(list_root).setup("test")
    with pytest.raises(UsageError, match=r"train\.txt, line 11, has the label 2, but the 2 classes are numbered"):
        _ = lists(list_root, class_names=["a", "b"]).class_counts


def test_a_missing_or_empty_list_is_named(list_root):
    with pytest.raises(UsageError, match=r"`train_list` none\.txt is not a file, and neither is .*none\.txt"):
        _ = lists(list_root, train_list="none.txt").class_counts
    (list_root / "val.txt").write_text("\n")
    with pytest.raises(UsageError, match=r"val\.txt is empty; a line `path label` is expected"):
        lists(list_root).setup("fit")


def test_a_listed_image_that_is_not_there_stops_setup(list_root):
    (list_root / "pictures" / "val 1 0.png").unlink()
    with pytest.raises(UsageError, match=r"The image .*val 1 0\.png is listed but cannot be found; check `root`"):
        lists(list_root).setup("fit")


def test_a_tilde_is_the_home_folder(list_root, monkeypatch):
    monkeypatch.setenv("HOME", str(list_root.parent))
    data = lists("~/lists", train_list="~/lists/train.txt")
    assert data.class_counts == [3, 7, 2]
    data.setup("test")
