"""Curves of training."""

import pytest

from lt_lightning.plots.curves import curves_figure, read_history

LOG = """epoch,step,train/loss,train/loss_epoch_end,val/all,val/few
0,4,2.0,,,
0,8,1.0,,,
0,9,,3.0,,
1,14,1.0,,,
1,19,,,0.5,0.25
"""


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(LOG)
    return path


def test_epochs_count_from_one_and_a_loss_is_an_epochs_mean(history):
    assert read_history(history) == {
        "train/loss": ([1.0, 2.0], [2.0, 1.0]),
        "val/all": ([2.0], [0.5]),
        "val/few": ([2.0], [0.25]),
    }
    assert read_history(None) == read_history(history.with_name("none.csv")) == {}


def test_where_an_epochs_own_mean_was_logged_it_counts_alone(history):
    history.write_text("epoch,step,train/loss,train/loss_epoch\n0,4,2.0,\n0,8,1.0,\n0,9,,1.75\n1,14,1.0,\n")
    assert read_history(history) == {"train/loss": ([1.0], [1.75])}


def test_lines_that_are_torn_cost_no_others(history):
    whole = read_history(history)
    history.write_bytes(LOG.encode() + b"1,24,\xff1.0,,,\n\0\0\0,29,1.0,,,\n2")
    assert read_history(history) == whole


def test_a_quote_costs_no_other_line(history):
    whole = read_history(history)
    history.write_text(LOG + '1,24,"1.0,,,\n' + 20000 * "2,29,,,,\n")
    assert read_history(history) == whole


@pytest.mark.parametrize("names", ["", "step,train/loss", '"epoch,train/loss', "epoch,train/loss\n" + 200000 * '"'])
def test_a_damaged_first_line_costs_its_run_alone(history, names):
    history.write_text(f"{names}\n" + 20000 * "0,1.0\n")
    assert read_history(history).keys() <= {"train/loss"}


def test_columns_may_have_a_comma_or_an_epoch_that_comes_last(history):
    history.write_text('"mine, top 5",train/loss,epoch\n0.5,2.0,0\n0.5,4.0\n')
    assert read_history(history) == {"train/loss": ([1.0], [2.0])}


def test_runs_of_a_row_share_a_colour_and_a_name(made_run, made_row, history):
    row = made_row(made_run(0, history=history), made_run(1, history=history))
    figure = curves_figure("title", ["untrained", "row"], [made_row(), row])
    loss, accuracy, few = figure.axes
    assert len(loss.get_lines()) == 2
    assert {line.get_color() for line in loss.get_lines()} == {"C1"}
    assert accuracy.get_lines()[0].get_ydata() == [50]
    assert few.get_lines()[0].get_ydata() == [25]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["row"]


def test_what_has_trained_nothing_has_no_curve(made_row, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,val/all\n0,0,0.5\n")
    assert curves_figure("title", ["a"], [made_row(history=path)]) is None
