"""A drawing is laid out once, whatever it is written as."""

from matplotlib.figure import Figure as Canvas

from recbole_sheaf.report.drawing import Series, as_pdf, drawn, lines
from recbole_sheaf.report.words import Words

SERIES = [Series("a", [0, 1, 2], [0.1, 0.3, 0.2]), Series("b", [0, 1, 2], [0.2, 0.1, 0.4])]


def a_drawing():
    return drawn("curve", "Caption", "Sees", Words("en"), lambda axes: lines(axes, SERIES, "epoch", "recall@20"))


def test_each_file_takes_one_drawing(monkeypatch):
    calls = []
    draw = Canvas.draw
    monkeypatch.setattr(Canvas, "draw", lambda canvas, *args, **kwargs: (calls.append(1), draw(canvas, *args))[1])
    figure = a_drawing()
    assert len(calls) == 1 and figure.svg.startswith("<svg")
    assert as_pdf([figure]).startswith(b"%PDF") and len(calls) == 2


def test_axes_and_legend_keep_clear_of_each_other():
    """Without the layout the axes would fill their usual place and the labels below would leave the canvas."""
    canvas = a_drawing().canvas
    (axes,), (legend,) = canvas.axes, canvas.legends
    inside, below = axes.get_tightbbox(), legend.get_window_extent()
    assert below.y0 >= 0 and inside.y0 >= below.y1 and inside.y1 <= canvas.bbox.y1
