"""Tables and sentences."""

import io
import json

from rich.console import Console

from lt_lightning.inspecting import Duplicates, Summary
from lt_lightning.inspecting.rendering import class_table, duplicate_sentence, group_table, record, split_table


def summary(classes):
    counts = [2 * classes - 2 * number for number in range(classes)]
    names = [f"class {number}" for number in range(classes)]
    splits = {"train": counts, "test": [3] * classes}
    return Summary(names, (5, 10), splits)


def lines(table):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return [line for line in console.export_text().splitlines() if line.startswith("│")]


def test_each_split_has_a_row():
    train, test = lines(split_table(summary(4), "title"))
    assert " ".join(train.split()) == "│ train │ 20 │ 4 │ 8 │ 2 │ 4 │"
    assert test.split()[-2] == "1"


def test_classes_without_images_are_no_smallest_class():
    some = Summary(["a", "b", "c"], (5, 10), {"train": [9, 6, 3], "val": [4, 2, 0]})
    assert " ".join(lines(split_table(some, "title"))[1].split()) == "│ val │ 6 │ 2 │ 4 │ 2 │ 2 │"


def test_groups_share_all_images():
    assert [line.split("│")[4].strip() for line in lines(group_table(summary(6)))] == ["28.6 %", "57.1 %", "14.3 %"]


def test_a_few_classes_are_all_shown_and_of_many_the_ends():
    assert len(lines(class_table(summary(11)))) == 11
    shown = lines(class_table(summary(12)))
    assert len(shown) == 11
    assert "… 2 more" in shown[5]
    assert "class 0" in shown[0]
    assert "class 11" in shown[-1]


def test_classes_stand_in_order_of_size():
    mixed = Summary(["a", "b", "c"], (5, 10), {"train": [3, 9, 3]})
    assert [line.split()[1] for line in lines(class_table(mixed))] == ["b", "a", "c"]


def test_names_are_shown_as_they_are():
    odd = Summary(["a [bold]", "b"], (5, 10), {"train": [3, 2]})
    assert "a [bold]" in lines(class_table(odd))[0]


def test_duplicates_are_told_in_a_sentence_each():
    one = Duplicates("test", "train", [(3, 7)], [("test/a.png", "train/b.png")], 1)
    many = Duplicates("val", "val", [(number + 9, number) for number in range(5)], [], 0)
    assert [duplicate_sentence(found) for found in (one, many)] == [
        "1 test image is among the train images too, 1 with another class: test/a.png = train/b.png.",
        "5 val images are copies of others: 9 = 0, 10 = 1, 11 = 2 and 2 more.",
    ]


def test_a_record_is_plain():
    one = Duplicates("test", "train", [(3, 7)], [], 0)
    found = json.loads(json.dumps(record(summary(3), ["a remark"], [one])))
    assert found["class_counts"] == [6, 4, 2]
    assert found["imbalance_ratio"] == 3
    assert found["splits"]["test"] == {"images": 9, "per_class": [3, 3, 3]}
    assert found["duplicates"][0]["pairs"] == [[3, 7]]
    assert record(summary(3), [], None)["duplicates"] is None
