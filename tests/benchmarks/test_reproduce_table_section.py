"""Ours beside the papers', column by column."""

from reproducing.every import TABLES
from reproducing.table_section import render_table


def test_ours_stands_beside_the_papers_and_empty_cells_stay_empty(made, line):
    column = "cifar10_lt_ir100"
    records = [made("CE", column, value, seed) for seed, value in enumerate((70.0, 71.0, 72.0))]
    text, unexplained = render_table(TABLES["elm1"], records, {})
    block = text[text.index("### CIFAR10-LT, ratio 100") :].partition("Not run")[0]
    assert line(block, "CE") == ["CE", "70.71 ± 0.20", "71.00 ± 1.00 (3)"]
    assert line(block, "LDAM + DRW") == ["LDAM + DRW", "77.16 ± 0.33", ""]
    assert "- a: last epoch. a processor, 1 thread; 4.5 minutes for 3 runs; version 0.1.0." in block
    assert "mean ± standard deviation of three runs" in text
    assert "Not run yet: CIFAR10-LT, ratio 10, CIFAR10-Step, ratio 10" in text
    assert unexplained == []


def test_rows_outside_the_spread_get_their_sentence_or_are_named(made):
    column = "cifar10_lt_ir100"
    # The paper: 70.71 ± 0.20 and 77.16 ± 0.33.
    inside, outside = made("CE", column, 71.1), made("LDAM + DRW", column, 76.4)
    text, unexplained = render_table(TABLES["elm1"], [inside, outside], {})
    assert unexplained == [f"LDAM + DRW | {column}"]
    assert "- LDAM + DRW: 0.76 below the paper. Not explained yet." in text
    assert "- CE:" not in text
    says = {f"LDAM + DRW | {column}": "Re-weighting starts later here."}
    text, unexplained = render_table(TABLES["elm1"], [inside, outside], says)
    assert unexplained == []
    assert "- LDAM + DRW: 0.76 below the paper. Re-weighting starts later here." in text
    # Our own spread counts too.
    wide = [made("LDAM + DRW", column, value, seed) for seed, value in enumerate((75.4, 76.4, 77.4))]
    assert render_table(TABLES["elm1"], wide, {})[1] == []


def test_without_a_printed_spread_the_test_set_gives_one(made):
    # 99.15 % of 10,000 images: a standard error of 0.092.
    assert render_table(TABLES["lgl3"], [made("CNN2C, LGL", "mnist", 99.32)], {})[1] == []
    text, unexplained = render_table(TABLES["lgl3"], [made("CNN2C, LGL", "mnist", 99.35)], {})
    assert unexplained == ["CNN2C, LGL | mnist"]
    assert "- CNN2C, LGL: 0.20 above the paper." in text


def test_another_stage1_is_labelled_and_never_outside(made, on, line):
    (column,) = TABLES["lort1"].columns
    records = [
        made("Focal", column.name, 42.0, stage1=on(None, another=True)),
        made("Focal", column.name, 50.0, stage1=on(0)),
    ]
    text, unexplained = render_table(TABLES["lort1"], records, {})
    groups = "50.00 / 25.00 / 12.50"
    assert line(text, "Focal") == [
        "Focal",
        "50.94 / 78.00 / 49.97 / 20.50",
        f"42.00 / {groups}",
        f"50.00 / {groups}",
    ]
    assert unexplained == []
    assert "- a: last epoch, features of 20 views, BatchNorm in evaluation mode, another stage 1 (ResNet32)." in text
    assert "- b: last epoch, features of 20 views, BatchNorm in evaluation mode." in text
    assert "stage 1 and features not counted" in text


def test_the_papers_aggregation_stands_beside_the_mean(made, line):
    records = [made("CE", "cifar100_ir100", value, seed) for seed, value in enumerate((38.0, 39.0))]
    block = render_table(TABLES["lort2"], records, {})[0].partition("Not run")[0]
    assert line(block, "CE")[-1] == "38.50 ± 0.71 (2), best 39.00"
