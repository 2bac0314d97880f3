"""Figures as inline SVG: numbers in, text out, the same bytes for the same numbers.

Colours are CSS variables of the page (``--ink``, ``--grid``, ``--s1`` to ``--s6``), so one figure serves
light and dark; text stays text in the page's own font; ids carry the figure's key, so that many
figures share a page. Names from data never reach matplotlib: the page sets legends in HTML.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "SERIES",
    "calibration",
    "heat_map",
    "lines",
    "precision_recall",
    "predicted_actual",
    "residuals",
    "roc",
    "score_histogram",
    "sparkline",
    "swatch",
    "thresholds",
]

SERIES = 6  # colours; more curves start again, with another dash
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 3)), (0, (3, 1)))
# Stand-ins that no figure would use by chance; ``_finished`` turns them into the page's variables.
INK, GRID, HEAT = "#0a0b01", "#0a0b02", "#0a0b03"
COLOURS = tuple(f"#0a0b1{index}" for index in range(1, SERIES + 1))
VARIABLES = {
    INK: "var(--muted)",
    GRID: "var(--grid)",
    HEAT: "var(--s1)",
    **{colour: f"var(--s{index})" for index, colour in enumerate(COLOURS, 1)},
}
FEWEST_RECALL = 0.005
SIZE_IN = (6.0, 4.2)
SETTINGS: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "axes.labelsize": 12,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.xmargin": 0.0,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 1.0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "path.simplify": False,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
}


@contextmanager
def _figure(size_in: tuple[float, float] = SIZE_IN, **more: Any) -> Iterator[tuple[Figure, Any]]:
    from matplotlib import rc_context, rcParamsDefault
    from matplotlib.figure import Figure

    # From matplotlib's defaults, not the user's matplotlibrc: the bytes must not depend on it.
    defaults: dict[Any, Any] = {k: v for k, v in rcParamsDefault.items() if k != "backend"}
    with rc_context(defaults | dict(SETTINGS)):
        figure = Figure(figsize=size_in, layout="constrained")
        yield figure, figure.subplots(**more)


def _finished(figure: Figure, key: str, label: str) -> Markup:
    """Return the figure as SVG for the middle of an HTML page."""
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context({"svg.hashsalt": key}):
        figure.savefig(
            stream,
            format="svg",
            metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")),
        )
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    for useless in (r"<metadata>.*?</metadata>\s*", r"<!--.*?-->\s*", r"<style.*?</style>\s*"):
        svg = re.sub(useless, "", svg, flags=re.DOTALL)
    # An HTML page needs no namespaces, and the page sets size and font.
    svg = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg).replace("xlink:href", "href")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    used = set(re.findall(r"#([\w.-]+)[\")]", svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\1{key}-", svg)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r"<g/>|(?<=\n)\s+|(?<=[a-z\d]) ?\n(?=[LzQC\"])", "", svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    head = f'<svg class="plot" role="img" aria-label="{escape(label)}"'
    return _markup(svg.replace("<svg", head, 1).strip())


def _markup(svg: str) -> Markup:
    # matplotlib escapes its own text; everything else here is numbers and escaped names.
    return Markup(svg)  # noqa: S704


def _square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.005, 1.005), ylim=(-0.005, 1.02), xlabel=x, ylabel=y)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])


def _style(index: int) -> dict[str, Any]:
    dash = DASHES[(index % SERIES + index // SERIES) % len(DASHES)]
    return {"color": COLOURS[index % SERIES], "linestyle": dash}


def roc(curves: Sequence[Mapping[str, Sequence[float]]], *, key: str, label: str) -> Markup:
    """Return ROC curves, ``{"fpr", "tpr"}`` each, on one plot."""
    with _figure() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (2, 3)))
        for index, curve in enumerate(curves):
            axes.plot(curve["fpr"], curve["tpr"], **_style(index))
        _square(axes, "false positive rate (1 - specificity)", "true positive rate (recall)")
        return _finished(figure, key, label)


def precision_recall(
    curves: Sequence[Mapping[str, Sequence[float]]], *, base_rate: float, key: str, label: str
) -> Markup:
    """Return precision over recall, ``{"recall", "precision"}`` each, and the base rate as a line.

    Points below a recall of 0.005 are left out: the precision of a handful of rows is noise.
    """
    with _figure() as (figure, axes):
        axes.axhline(base_rate, color=INK, linewidth=1, linestyle=(0, (2, 3)))
        for index, curve in enumerate(curves):
            points = list(zip(curve["recall"], curve["precision"], strict=True))
            shown = [point for point in points if point[0] >= FEWEST_RECALL] or points
            axes.plot(*zip(*shown, strict=True), **_style(index))
        _square(axes, "recall", "precision")
        axes.text(0.02, base_rate + 0.015, f"base rate {base_rate:.3f}", fontsize=11, va="bottom")
        return _finished(figure, key, label)


def calibration(
    bins: Sequence[Mapping[str, float]], *, series: int, key: str, label: str
) -> Markup:
    """Return the share of positives over the mean score, per bin ``{"score", "rate", "rows"}``."""
    with _figure() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (2, 3)))
        axes.plot(
            [one["score"] for one in bins],
            [one["rate"] for one in bins],
            color=COLOURS[series % SERIES],
            marker="o",
            markersize=5,
            linewidth=1.5,
        )
        _square(axes, "mean score of a bin", "share of positives in it")
        return _finished(figure, key, label)


def score_histogram(scores: Mapping[str, Sequence[float]], *, key: str, label: str) -> Markup:
    """Return the score densities of both classes from ``{"edges", "negatives", "positives"}``."""
    with _figure() as (figure, axes):
        for name, colour in (("negatives", COLOURS[0]), ("positives", COLOURS[1])):
            total = max(sum(scores[name]), 1)
            shares = [count / total for count in scores[name]]
            axes.stairs(shares, scores["edges"], fill=True, color=colour, alpha=0.28, linewidth=0)
            axes.stairs(shares, scores["edges"], color=colour, linewidth=1.6, baseline=None)
        axes.set(xlim=(0, 1), ylim=(0, None), xlabel="score", ylabel="share of the class")
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        _few_ticks(axes, percent=True)
        return _finished(figure, key, label)


def thresholds(
    curve: Mapping[str, Sequence[float]], *, marks: Mapping[str, float], key: str, label: str
) -> Markup:
    """Return precision, recall and F1 over the threshold, with vertical ``marks`` (text -> threshold)."""
    from matplotlib.ticker import FuncFormatter

    with _figure() as (figure, axes):
        for index, name in enumerate(("precision", "recall", "f1")):
            axes.plot(curve["threshold"], curve[name], **_style(index))
        right = max(curve["threshold"][-1], 1e-9)
        for text, at in marks.items():
            if at <= right:
                axes.axvline(at, color=INK, linewidth=1, linestyle=(0, (2, 3)))
                side = "right" if at > 0.7 * right else "left"
                pad = -0.012 if side == "right" else 0.012
                axes.text(at + pad * right, 1.03, text, ha=side, va="bottom", fontsize=11)
        axes.set(xlim=(0, right), ylim=(-0.005, 1.12), xlabel="threshold")
        axes.xaxis.set_major_formatter(FuncFormatter(_tick))
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        return _finished(figure, key, label)


def lines(
    curves: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    mark: int | None,
    x: str,
    key: str,
    label: str,
) -> Markup:
    """Return values over epochs, ``(epochs, values)`` each, with the epoch ``mark`` pointed out."""
    from matplotlib.ticker import MaxNLocator

    with _figure() as (figure, axes):
        for index, (epochs, values) in enumerate(curves):
            few = len(epochs) <= 30
            axes.plot(epochs, values, **_style(index), marker="o" if few else None, markersize=4)
        if mark is not None:
            axes.axvline(mark, color=INK, linewidth=1, linestyle=(0, (2, 3)))
            low, high = axes.get_xlim()
            side = "right" if mark > (low + high) / 2 else "left"
            axes.annotate(
                f" best: {mark} ",
                (mark, 1),
                xycoords=("data", "axes fraction"),
                ha=side,
                va="top",
                fontsize=11,
            )
        axes.set(xlabel=x)
        axes.margins(x=0.03)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        _few_ticks(axes)
        return _finished(figure, key, label)


def residuals(
    histogram: Mapping[str, Sequence[float]], *, series: int, key: str, label: str
) -> Markup:
    """Return the residual histogram from ``{"edges", "counts"}``."""
    colour = COLOURS[series % SERIES]
    with _figure() as (figure, axes):
        axes.stairs(
            histogram["counts"],
            histogram["edges"],
            fill=True,
            color=colour,
            alpha=0.35,
            linewidth=0,
        )
        axes.stairs(
            histogram["counts"], histogram["edges"], color=colour, linewidth=1.6, baseline=None
        )
        axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (2, 3)))
        axes.set(ylim=(0, None), xlabel="label - prediction (middle 99 %)", ylabel="rows")
        _few_ticks(axes, x=True)
        return _finished(figure, key, label)


def predicted_actual(
    counts: Sequence[Sequence[int]], span: tuple[float, float], *, key: str, label: str
) -> Markup:
    """Return rows by prediction (vertical) and label (horizontal); ``counts`` is (label, prediction)."""
    import numpy as np

    cells = np.asarray(counts, dtype=float)
    strength = np.sqrt(
        cells / max(float(cells.max()), 1.0)
    )  # a few rows must show beside thousands
    edges = np.linspace(*span, len(cells) + 1)
    step = edges[1] - edges[0]
    with _figure() as (figure, axes):
        for level in range(1, 9):
            # One path per shade instead of one per cell keeps the figure small.
            at = np.argwhere((strength > (level - 1) / 8) & (strength <= level / 8))
            _squares(axes, [(edges[i], edges[j]) for i, j in at], step, 0.06 + 0.115 * level)
        axes.plot(span, span, color=INK, linewidth=1, linestyle=(0, (2, 3)))
        axes.set(xlim=span, ylim=span, xlabel="label", ylabel="prediction")
        _few_ticks(axes, x=True)
        return _finished(figure, key, label)


def _squares(axes: Axes, corners: Sequence[tuple[float, float]], step: float, alpha: float) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not corners:
        return
    paths = [
        Path([(x, y), (x + step, y), (x + step, y + step), (x, y + step), (x, y)], closed=True)
        for x, y in corners
    ]
    axes.add_patch(
        PathPatch(Path.make_compound_path(*paths), facecolor=HEAT, alpha=alpha, linewidth=0)
    )


def _few_ticks(axes: Axes, *, percent: bool = False, x: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    if x:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.xaxis.set_major_formatter(FuncFormatter(_tick))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick if percent else _tick))


def _tick(value: float, _: int | None = None) -> str:
    """Return a short text of an axis value.

    >>> _tick(12000.0), _tick(0.25), _tick(-3.0)
    ('12,000', '0.25', '−3')
    """
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _percent_tick(value: float, _: int | None = None) -> str:
    return f"{_tick(100 * value)} %"


def sparkline(counts: Sequence[float], *, label: str, bars: bool = False) -> Markup:
    """Return a histogram as wide as 120 units: one area, or separate ``bars`` for categories."""
    width, height = 120.0, 28.0
    top = max([*counts, 1e-12])
    step = width / max(len(counts), 1)
    gap = step * (0.22 if bars else 0.0)
    path = []
    for index, count in enumerate(counts):
        tall = count / top * (height - 1)
        tall = max(tall, 1.0) if count else 0.0  # a rare value must not vanish
        path.append(
            f"M{index * step + gap / 2:.1f} {height:g}v{-tall:.1f}h{step - gap:.1f}v{tall:.1f}z"
        )
    return _markup(
        f'<svg class="spark" role="img" aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}" '
        f'preserveAspectRatio="none"><path d="{"".join(path)}"/></svg>'
    )


def heat_map(
    columns: Sequence[str], matrix: Sequence[Sequence[float | None]], *, label: str
) -> Markup:
    """Return the lower triangle of a correlation matrix; ``p`` and ``n`` are its signs."""
    cell, side = 22, 150
    size = len(columns)
    parts = []
    for row in range(size):
        y = row * cell
        name = escape(_short(columns[row]))
        parts.append(f'<text x="{side - 8}" y="{y + 15}" text-anchor="end">{name}</text>')
        for column in range(row):
            value = matrix[row][column]
            # At least a breath of colour, so that the triangle keeps its shape.
            shade = (
                'class="none"'
                if value is None
                else (
                    f'class="{"n" if value < 0 else "p"}" fill-opacity="{max(abs(value), 0.04):.2g}"'
                )
            )
            shown = "undefined" if value is None else f"{value:+.2f}"
            title = escape(f"{columns[row]} × {columns[column]}: {shown}")
            parts.append(
                f'<rect {shade} x="{side + column * cell}" y="{y}" width="{cell - 1}" '
                f'height="{cell - 1}"><title>{title}</title></rect>'
            )
        # Names along the diagonal: no rotated text, and each stands at its column's head.
        if row < size - 1:
            parts.append(
                f'<text class="head" x="{side + row * cell + 5}" y="{y + 15}">{name}</text>'
            )
    wide = side + size * cell + 110
    return _markup(
        f'<svg class="heat" role="img" aria-label="{escape(label)}" viewBox="0 0 {wide} {size * cell}" '
        f'style="min-width: {min(wide, 980)}px; max-width: {wide}px">{"".join(parts)}</svg>'
    )


def _short(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def swatch(index: int) -> Markup:
    """Return the key of curve ``index`` for a legend: a short line in its colour and dash."""
    dash = DASHES[(index % SERIES + index // SERIES) % len(DASHES)]
    gaps = "" if isinstance(dash, str) else ",".join(f"{2 * length:g}" for length in dash[1])
    return _markup(
        '<svg class="key" viewBox="0 0 26 8" aria-hidden="true"><path d="M0 4H26" '
        f'style="stroke: var(--s{index % SERIES + 1}); stroke-dasharray: {gaps or "none"}"/></svg>'
    )
