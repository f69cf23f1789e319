"""The table says what was found, and what was not."""

from dataclasses import replace
from io import StringIO
from statistics import mean

import pytest
from rich.console import Console

from lt_lightning.comparing.leaderboard import describe_point, leaderboard, leaderboards, ordered, priors_table
from lt_lightning.comparing.outcome import NO_GAIN
from lt_lightning.tables import percent, show

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)


def text(table, width=160):
    console = Console(width=width, file=StringIO())
    console.print(table)
    return console.file.getvalue()


def test_selected(run):
    found = run("linear,ncm", {"lr": [1e-3]}, seeds=(0, 1))
    shown = text(leaderboard(found))
    assert f"{found.winner.name} ★" in shown
    assert "lr 0.001" in shown
    assert "±" in shown
    rows = ordered(found.rows)
    assert rows[0].name == "stage 1"
    assert rows[1].values("all")[0] >= rows[2].values("all")[0]


def test_names_in_brackets_are_shown_as_they_are(run, tmp_path):
    path = tmp_path / "mine[b].yaml"
    path.write_text("epochs: 1\n")
    found = run([str(path)])
    assert "mine[b]" in text(leaderboard(found))
    assert "mine[b]" in text(priors_table({"mine[b]": {"uniform": 0.5}}))


def test_a_terminal_of_80_characters_shows_every_name_and_figure(run):
    found = run("class_balanced_sigmoid,ncm", seeds=(0, 1))
    assert [text(table) for table in leaderboards(found, lambda _: True)] == [text(leaderboard(found))]
    accuracies, rest = (text(table, 80) for table in leaderboards(found, lambda _: False))
    for row in found.rows:
        for shown in (accuracies, rest):
            assert row.name in shown
        for name in ("all", "many", "medium", "few"):
            assert percent(mean(row.values(name))) in accuracies
    assert f"{found.winner.name} ★" in accuracies
    assert "±" in accuracies
    assert "[95 %]" in accuracies
    assert percent(found.winner.score) in rest
    assert "★ winner, chosen on the validation images" in rest
    assert "…" not in accuracies + rest


def test_choices_at_the_end_of_a_grid_are_marked(run):
    found = run("linear", {"lr": [1e-8, 1e-7, 1e-2]})
    mark = {"largest": " ↑", "smallest": " ↓"}[found.row("linear").at_edge["lr"]]
    assert describe_point(found.row("linear")).endswith(mark)
    assert "the largest or smallest tried; widen it with `--grid`" in text(leaderboard(found))


def test_without_a_gain_no_method_is_marked(run):
    found = replace(run("linear,ncm", {"lr": [1e-8, 1e-7, 1e-2]}), winner=None, why_no_winner=NO_GAIN)
    shown = text(leaderboard(found))
    assert "★" not in shown
    assert "vs winner" not in shown
    shown_on_a_line = " ".join(shown.split())
    assert f"No winner: {NO_GAIN}, which chose all settings (column val: accuracy there)" in shown_on_a_line
    assert "widen it with `--grid`" in shown
    assert percent(found.row("ncm").score) in shown


def test_what_figures_of_chance_cover_is_said(run):
    found = run("linear,ncm,tau_norm", {"lr": [1e-3]})
    over = "bootstrap over the test images, networks fixed; not corrected for 3 comparisons"
    assert f"\n[95 %], p: {over}\n" in leaderboard(found).caption
    found.winner = None
    assert f"\n[95 %]: {over}\n" in leaderboard(found).caption


def test_methods_as_good_as_the_winner_on_validation_images_are_marked(run):
    found = run("linear,ncm,tau_norm", {"lr": [1e-3]})
    found.row("linear").val_to_winner = {"mean": -0.01, "low": -0.02, "high": 0.0, "p_value": 0.1}
    for name in ("stage 1", "tau_norm"):
        found.row(name).val_to_winner = {"mean": -0.02, "low": -0.03, "high": -0.01, "p_value": 0.01}
    shown = text(leaderboard(found))
    assert shown.count("≈") == 2  # once in the caption
    assert f"≈ {percent(found.row('linear').score)}" in shown
    assert "≈ statistically tied with ★ on those images" in shown
    found.row("linear").val_to_winner["high"] = -0.005
    assert "≈" not in text(leaderboard(found))


def test_unselected(run, make_data, capsys):
    with pytest.warns(UserWarning, match="Nothing is selected"):
        found = run("tau_norm", data=make_data(val_from="none"))
    show(leaderboard(found))
    shown = capsys.readouterr().out
    assert "★" not in shown
    assert "vs winner" not in shown
    shown = " ".join(shown.split())
    assert "No winner: there are no validation images, so every method ran once with its own settings" in shown
    assert describe_point(found.row("tau_norm")) == "own settings"
    assert describe_point(found.row("stage 1")) == ""


def test_where_validation_images_may_have_been_seen_it_is_said_how_to_vouch_for_them(run, make_data):
    with pytest.warns(UserWarning, match="Nothing is selected"):
        found = run("tau_norm", data=make_data(val_from="train"))
    shown = " ".join(text(leaderboard(found)).split())
    assert "No winner: no validation images are known to be unseen by stage 1" in shown
    assert "if yours are unseen, add `--unseen true`" in shown


def test_the_caption_explains_what_the_table_has_and_no_more(run):
    caption = leaderboard(run("tau_norm", {"tau": [1.0]})).caption
    assert "not corrected" not in caption
    assert "oracle" not in caption
    assert "↑" not in caption
    assert "oracle: linear classifier trained on the balanced data" in leaderboard(run("tau_norm", oracle=True)).caption


def test_priors():
    shown = text(priors_table({"lort": {"forward-50": 0.5, "uniform": 0.25}}))
    assert "50.0" in shown
    assert "25.0" in shown
