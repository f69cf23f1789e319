"""A figure's points."""

from reproducing.every import FIGURES
from reproducing.figure_section import render_figure


def test_a_figure_shows_its_points(made, on, line):
    points = [{"point": {"delta": delta}, "mean": value} for delta, value in ((0.0, 0.4), (0.98, 0.45))]
    record = made("lort", "grid", 44.0, stage1=on(0), points=points, chosen={"delta": 0.98})
    other = made(
        "lort", "grid", 46.0, stage1=on(1), points=[points[0], {**points[1], "mean": 0.47}], chosen={"delta": 0.98}
    )
    text = render_figure(FIGURES["lort_fig4"], [record, other])
    assert line(text, "0.98") == ["0.98", "46.00"]
    assert line(text, "0") == ["0", "40.00"]
    assert "A sentence." in render_figure(FIGURES["lort_fig4"], [record], "A sentence.")
    assert "Chosen: delta 0.98; on test images 45.00." in text
