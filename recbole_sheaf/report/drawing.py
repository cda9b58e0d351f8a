"""Drawings by matplotlib, as SVG for a page and PDF for print, readable without colour.

Colours are those of Okabe and Ito; every series has a marker and a dash of its own beside its colour. A drawing is as
wide as a phone, so that its letters keep their size there.
"""

import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from recbole_sheaf.report.document import Figure
from recbole_sheaf.report.words import Words

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
FEWEST_POINTS = 4  # of a cloud; fewer are read faster in the table beside it
MOST_SERIES = 8  # that eyes tell apart
LONGEST_NAME = 28
WIDTH, HEIGHT = 5.0, 3.3  # inches
NARROW, WIDE = 10, 300  # from the low end of a logarithmic axis to its high end

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "path",  # letters keep their places on every machine
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a dollar in a name is a dollar
}


Ends = tuple[float, float]  # of an interval


@dataclass(frozen=True)
class Series:
    """A line of points with, where there are any, the ends of their intervals."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Optional[Sequence[float]] = None
    high: Optional[Sequence[float]] = None


def short_name(name: str) -> str:
    """A label that fits a drawing."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def drawn(
    name: str, caption: str, sees: str, words: Words, draw: Callable[[Axes], None], height: float = HEIGHT
) -> Figure:
    """A figure with what ``draw`` puts on its axes."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
        axes = canvas.add_subplot()
        draw(axes)
        for axis in (axes.xaxis, axes.yaxis):
            _write_numbers(axis, words)
        _lay_out(canvas)
        return Figure(name, caption, sees, _svg(canvas, name), canvas)


def _lay_out(canvas: Canvas) -> None:
    """Once, in an SVG's measures; while a canvas has an engine for it, every file that is written draws it twice."""
    FigureCanvasSVG(canvas)
    engine = canvas.get_layout_engine()
    if engine is not None:
        engine.execute(canvas)
    canvas.set_layout_engine(None)


def _write_numbers(axis: Any, words: Words) -> None:
    if axis.get_scale() == "log":
        _place_ticks(axis)
        axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value, words)))
        axis.set_minor_formatter(NullFormatter())
    elif isinstance(axis.get_major_formatter(), ScalarFormatter):
        axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value, words)))


def _place_ticks(axis: Any) -> None:
    """On a logarithmic axis, as many as name the ends of its range whatever that is."""
    low, high = axis.get_view_interval()
    if high < NARROW * low:
        axis.set_major_locator(MaxNLocator(4))
    elif high < WIDE * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))


def _plain(value: float, words: Words) -> str:
    """The shortest exact text of a tick."""
    digits = next((digits for digits in range(6) if abs(value - round(value, digits)) < 1e-9), 6)
    return words.number(value, digits)


def _svg(canvas: Canvas, name: str) -> str:
    text = io.StringIO()
    canvas.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    inner = text.getvalue()[text.getvalue().index("<svg") :]
    inner = re.sub(r"<metadata>.*?</metadata>", "", inner, flags=re.DOTALL)
    inner = re.sub(r"<!--.*?-->\s*", "", inner, flags=re.DOTALL)
    inner = re.sub(r'\b(d|x|y|points|transform)="([^"]*)"', _rounded, inner)
    inner = re.sub(r'transform="translate\((\S+) 0\)"/>', r'x="\1"/>', inner)  # of letters; half as long, and the same
    inner = re.sub(r'<g id="[^"]*"', "<g", re.sub(r"\n\s+", "\n", inner))  # nothing refers to groups
    return re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", inner)


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point, a half of the file; a scale is no coordinate."""
    name, value = attribute.groups()
    if "scale" in value or "matrix" in value:
        return attribute[0]
    return f'{name}="{re.sub(_LONG_NUMBER, lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value)}"'


def as_pdf(figures: Sequence[Figure]) -> bytes:
    """A PDF with a page for each drawing; one file, so that letters are cut out of their font once."""
    data = io.BytesIO()
    with matplotlib.rc_context(_STYLE), PdfPages(data, metadata={"CreationDate": None}) as pages:
        for figure in figures:
            pages.savefig(figure.canvas)
    return data.getvalue()


def lines(axes: Axes, series: Sequence[Series], x: str, y: str, counted: bool = False) -> None:
    """Draw series over numbers, a legend below them; ``counted`` numbers are whole and many."""
    for number, each in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            each.x,
            each.y,
            color=colour,
            linestyle=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
            markevery=max(1, len(each.x) // 8) if counted else None,
            linewidth=1.4,
            label=short_name(each.name),
        )
        if each.low is not None and each.high is not None:
            axes.fill_between(each.x, each.low, each.high, color=colour, alpha=0.15, linewidth=0)
    if counted:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _legend(axes, len(series))


def categories(axes: Axes, names: Sequence[str], series: Sequence[Series], x: str, y: str) -> None:
    """Draw series over named places, such as strata."""
    lines(axes, series, x, y)
    axes.set_xticks(range(len(names)), [short_name(name) for name in names], rotation=40, ha="right")


def cloud(axes: Axes, points: Sequence[tuple[str, float, float]], x: str, y: str, log: bool = False) -> None:
    """Draw named points; names beside few points, else those of the first ``MOST_SERIES`` in a legend."""
    if log:
        axes.set_xscale("log")
    styles = itertools.cycle(zip(COLOURS, MARKERS))
    for number, ((name, at, height), (colour, marker)) in enumerate(zip(points, styles)):
        named = number < MOST_SERIES
        axes.plot(
            [at],
            [height],
            linestyle="none",
            marker=marker if named else ".",
            color=colour if named else "#999999",
            markersize=8 if named else 5,
            label=short_name(name) if named else "_",
        )
    axes.margins(0.08)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _legend(axes, len(points))


def means(axes: Axes, names: Sequence[str], middle: Sequence[float], ends: Sequence[Ends], x: str) -> None:
    """Draw means with their intervals, one below the other; the first one's interval goes on as a band."""
    axes.axvspan(*ends[0], color=COLOURS[0], alpha=0.12, linewidth=0)
    for place, (at, (low, high)) in enumerate(zip(middle, ends)):
        axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=1.8)
        axes.plot([at], [place], marker="o", color=COLOURS[0], markersize=6)
    _named_places(axes, names, x)


def forest(
    axes: Axes, names: Sequence[str], middle: Sequence[float], ends: Sequence[Ends], x: str, filled: Sequence[bool]
) -> None:
    """Draw differences with their intervals, one below the other, and a line at 0; signs are filled or hollow."""
    axes.axvline(0, color="black", linewidth=1)
    for place, (at, (low, high), clear) in enumerate(zip(middle, ends, filled)):
        colour = COLOURS[0] if at > 0 else COLOURS[1]
        axes.plot([low, high], [place, place], color=colour, linewidth=1.8)
        axes.plot(
            [at], [place], marker="^" if at > 0 else "v", color=colour, markersize=7, mfc=colour if clear else "white"
        )
    _named_places(axes, names, x)


def _named_places(axes: Axes, names: Sequence[str], x: str) -> None:
    axes.set_yticks(range(len(names)), [short_name(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(x)


def bars(axes: Axes, edges: Sequence[float], counts: Sequence[float], x: str, y: str) -> None:
    """A histogram from its edges."""
    axes.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.85)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _legend(axes: Axes, count: int) -> None:
    if count > 1:
        columns = 2 if count > 2 else count
        axes.figure.legend(loc="outside lower center", ncols=columns, handlelength=3)
