"""Tables for the terminal."""

import re

from lt_lightning import report
from lt_lightning.report.runs import Protocol


def test_stage_1_of_a_comparison_heads_the_table_of_what_was_selected(write, compared, capsys):
    start = {"seeds": [{"seed": 0, "accuracy": {"all": 0.25}}], "selection": "none"}
    lort = {"seeds": [{"seed": 0, "accuracy": {"all": 0.5}}], "selection": "val"}
    write("c", compared({"lort": lort, "stage 1": start}))
    report.main(["report", "."])
    shown = capsys.readouterr().out
    assert shown.count("compare") == 1
    assert shown.index("stage 1") < shown.index("lort")


def test_a_protocol_is_said_in_words():
    aggregation = "mean over seeds of the last epoch, each the mean over classes"
    assert report.in_words(Protocol("val", "20", "eval", "none", aggregation)) == (
        "settings or epoch chosen on validation images; 20 views per image; BatchNorm in evaluation mode; no test-time "
        "averaging; last epoch, averaged over seeds"
    )
    assert report.in_words(Protocol("none", "1", "train", "flip", "best of 5 seeds")) == (
        "nothing chosen; 1 view per image; BatchNorm in training mode; averaged with mirror images; best of 5 seeds"
    )
    assert report.in_words(Protocol("val", "all", "frozen", "none", "last epoch")) == (
        "settings or epoch chosen on validation images; views all; bn mode frozen; no test-time averaging; last epoch"
    )


def test_the_hash_that_tells_rows_apart_is_shown(write, compared, capsys):
    start = {"seeds": [{"seed": 0, "accuracy": {"all": 0.25}}], "selection": "none"}
    for number in range(40):
        write(f"c{number}", compared({"stage 1": start}, backbone=f"Other{number}"))
    report.main(["report", "."])
    hashes = re.findall(r"stage 1 \[([0-9a-f]{8})\]", capsys.readouterr().out)
    assert len(set(hashes)) == 40  # in brackets, and from a letter on, rich takes text for markup
    assert any(found[0].isalpha() for found in hashes)


def test_a_folder_with_brackets_in_its_name_is_shown_as_it_is(write, run, capsys):
    write("a", run(0.4, data={"dataset": "photos [cats]"}))
    report.main(["report", "."])
    assert "test, photos [cats] (" in capsys.readouterr().out


def test_runs_and_caption_say_of_what_a_spread_is(write, compared, rows_of, capsys):
    plain = "accuracy in %, mean ± standard deviation over runs"
    several = f"{plain}, or, for n × m runs, m from each of n checkpoints, over the means of the n"
    for number in range(3):
        seeds = [{"seed": seed, "accuracy": {"all": 0.40 + 0.02 * number}} for seed in range(5)]
        rows = {"lort": seeds, "tau_norm": seeds[:1], "ldam": seeds[number:]}
        write(f"c{number}", compared({name: {"seeds": found} for name, found in rows.items()}, sha256=64 * str(number)))
    shown = report.to_markdown(rows_of(".")[0], "test")
    assert f"{several};" in shown
    assert "| 42.0 ± 2.0 | 3 × 5 |" in shown
    assert "| 42.0 ± 2.0 | 3 × 1 |" in shown
    assert "| 42.0 ± 2.0 | 3 × 3 to 5 |" in shown
    alone = report.to_markdown(rows_of("c1")[0], "test")
    assert f"{plain};" in alone
    assert "| 42.0 ± 0.0 | 5 |" in alone
    report.main(["report", "."])
    shown = " ".join(capsys.readouterr().out.split())
    assert several in shown
    assert all(text in shown for text in ("42.0 ± 2.0", "3 × 5", "3 × 1"))


def test_rows_of_one_name_say_in_which_options_they_differ(write, run, rows_of):
    for number, (seed, rate, callbacks) in enumerate([(0, 0.1, ""), (1, 0.1, ""), (0, 0.2, "")]):
        write(f"{number}", run(0.4, seed=seed), f"seed_everything: {seed}\nmodel: {{lr: {rate}}}\n{callbacks}")
    rows, _ = rows_of(".")
    assert report.labels(rows) == ["LinearHead + LORTLoss with lr 0.1", "LinearHead + LORTLoss with lr 0.2"]
    assert [row.seeds for row in rows] == [[0, 1], [0]]
    write("3", run(0.5), "model: {lr: 0.1, sizes: [1, 2]}\n")
    shown = report.labels(rows_of(".")[0])
    assert [label.partition("LORTLoss ")[2][:4] for label in shown] == ["with", "with", "[" + shown[-1][-9:-6]]


def test_a_hash_is_shown_where_options_tell_nothing_apart(write, run, rows_of):
    for place, by in (("a", "val: linear of compare"), ("b", "val: crt of compare")):
        write(place, run(0.4, selection=by), "lr: 0.1\n")
    assert all(re.search(r"LORTLoss \[[0-9a-f]{8}\]$", label) for label in report.labels(rows_of(".")[0]))
