"""Which rows stand in one figure."""

from lt_lightning.plots import KINDS, draw


def test_other_data_get_figures_of_their_own(made_row):
    rows = [made_row(data="one"), made_row(data="two")]
    drawn = list(draw(rows, ["tail", "groups", "grid"], "test"))
    assert [name for name, _, _ in drawn] == ["tail", "groups", "tail_2", "groups_2"]
    assert drawn[0][1].get_suptitle().startswith("test, one\n")


def test_of_many_rows_the_first_and_those_best_on_validation_are_drawn(made_row):
    point = {"point": {"lr": 1}}
    rows = [made_row(method="stage 1")]
    rows += [made_row(method=f"m{n}", figures={"all": 1 - n / 10}, tried=[{**point, "mean": n / 10}]) for n in range(5)]
    ((_, figure, left_out),) = draw(rows, ["groups"], "test", most=3)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["stage 1", "m3", "m4"]
    assert left_out == ["m0", "m1", "m2"]


def test_best_on_validation_is_best_over_all_runs(made_row, made_run):
    rows = [made_row(method="stage 1")]
    for name, figures in (("lucky", (0.9, 0.1)), ("good", (0.7, 0.7)), ("bad", (0.2, 0.2))):
        tried = [[{"point": {"lr": 1}, "mean": figure}] for figure in figures]
        rows.append(made_row(*(made_run(seed, method=name, tried=found) for seed, found in enumerate(tried))))
    ((_, figure, _),) = draw(rows, ["groups"], "test", most=2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["stage 1", "good"]


def test_a_panel_of_its_own_leaves_none_out(made_row):
    tried = [{"point": {"lr": rate}, "mean": 0.5} for rate in (1, 2)]
    rows = [made_row(method=f"m{n}", tried=tried) for n in range(5)]
    ((name, figure, left_out),) = draw(rows, ["grid"], "test", most=2)
    assert (name, left_out) == ("grid", [])
    assert figure.get_suptitle().startswith("val, made")
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == [f"m{n}" for n in range(5)]


def test_every_kind_has_a_function():
    assert set(KINDS) == {"tail", "groups", "logits", "reliability", "curves", "grid"}
