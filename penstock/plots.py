"""Figures as inline SVG: numbers in, text out, the same bytes for the same numbers.

How they take on the page's looks is in ``svg``. Names from data never reach matplotlib: the page sets
legends in HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from penstock.svg import (
    COLOURS,
    HEAT,
    INK,
    SERIES,
    dash_of,
    figure_axes,
    finished,
    markup,
    style_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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

FEWEST_RECALL = 0.005


def _square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.005, 1.005), ylim=(-0.005, 1.02), xlabel=x, ylabel=y)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])


def roc(curves: Sequence[Mapping[str, Sequence[float]]], *, key: str, label: str) -> Markup:
    """Return ROC curves, ``{"fpr", "tpr"}`` each, on one plot."""
    with figure_axes() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (2, 3)))
        for index, curve in enumerate(curves):
            axes.plot(curve["fpr"], curve["tpr"], **style_of(index))
        _square(axes, "false positive rate (1 - specificity)", "true positive rate (recall)")
        return finished(figure, key, label)


def precision_recall(
    curves: Sequence[Mapping[str, Sequence[float]]], *, base_rate: float, key: str, label: str
) -> Markup:
    """Return precision over recall, ``{"recall", "precision"}`` each, and the base rate as a line.

    Points below a recall of 0.005 are left out: the precision of a handful of rows is noise.
    """
    with figure_axes() as (figure, axes):
        axes.axhline(base_rate, color=INK, linewidth=1, linestyle=(0, (2, 3)))
        for index, curve in enumerate(curves):
            points = list(zip(curve["recall"], curve["precision"], strict=True))
            shown = [point for point in points if point[0] >= FEWEST_RECALL] or points
            axes.plot(*zip(*shown, strict=True), **style_of(index))
        _square(axes, "recall", "precision")
        axes.text(0.02, base_rate + 0.015, f"base rate {base_rate:.3f}", fontsize=11, va="bottom")
        return finished(figure, key, label)


def calibration(
    bins: Sequence[Mapping[str, float]], *, series: int, key: str, label: str
) -> Markup:
    """Return the share of positives over the mean score, per bin ``{"score", "rate", "rows"}``."""
    with figure_axes() as (figure, axes):
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
        return finished(figure, key, label)


def score_histogram(scores: Mapping[str, Sequence[float]], *, key: str, label: str) -> Markup:
    """Return the score densities of both classes from ``{"edges", "negatives", "positives"}``."""
    with figure_axes() as (figure, axes):
        for name, colour in (("negatives", COLOURS[0]), ("positives", COLOURS[1])):
            total = max(sum(scores[name]), 1)
            shares = [count / total for count in scores[name]]
            axes.stairs(shares, scores["edges"], fill=True, color=colour, alpha=0.28, linewidth=0)
            axes.stairs(shares, scores["edges"], color=colour, linewidth=1.6, baseline=None)
        axes.set(xlim=(0, 1), ylim=(0, None), xlabel="score", ylabel="share of the class")
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        _few_ticks(axes, percent=True)
        return finished(figure, key, label)


def thresholds(
    curve: Mapping[str, Sequence[float]], *, marks: Mapping[str, float], key: str, label: str
) -> Markup:
    """Return precision, recall and F1 over the threshold, with vertical ``marks`` (text -> threshold)."""
    from matplotlib.ticker import FuncFormatter

    with figure_axes() as (figure, axes):
        for index, name in enumerate(("precision", "recall", "f1")):
            axes.plot(curve["threshold"], curve[name], **style_of(index))
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
        return finished(figure, key, label)


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

    with figure_axes() as (figure, axes):
        for index, (epochs, values) in enumerate(curves):
            few = len(epochs) <= 30
            axes.plot(epochs, values, **style_of(index), marker="o" if few else None, markersize=4)
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
        return finished(figure, key, label)


def residuals(
    histogram: Mapping[str, Sequence[float]], *, series: int, key: str, label: str
) -> Markup:
    """Return the residual histogram from ``{"edges", "counts"}``."""
    colour = COLOURS[series % SERIES]
    with figure_axes() as (figure, axes):
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
        return finished(figure, key, label)


def predicted_actual(
    counts: Sequence[Sequence[int]], span: tuple[float, float], *, key: str, label: str
) -> Markup:
    """Return rows by prediction (vertical) and label (horizontal); ``counts`` is (label, prediction)."""
    import numpy as np

    cells = np.asarray(counts, dtype=float)
    # The root, because a few rows must show beside thousands.
    strength = np.sqrt(cells / max(float(cells.max()), 1.0))
    edges = np.linspace(*span, len(cells) + 1)
    step = edges[1] - edges[0]
    with figure_axes() as (figure, axes):
        for level in range(1, 9):
            # One path per shade instead of one per cell keeps the figure small.
            at = np.argwhere((strength > (level - 1) / 8) & (strength <= level / 8))
            _squares(axes, [(edges[i], edges[j]) for i, j in at], step, 0.06 + 0.115 * level)
        axes.plot(span, span, color=INK, linewidth=1, linestyle=(0, (2, 3)))
        axes.set(xlim=span, ylim=span, xlabel="label", ylabel="prediction")
        _few_ticks(axes, x=True)
        return finished(figure, key, label)


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
    return markup(
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
    return markup(
        f'<svg class="heat" role="img" aria-label="{escape(label)}" viewBox="0 0 {wide} {size * cell}" '
        f'style="min-width: {min(wide, 980)}px; max-width: {wide}px">{"".join(parts)}</svg>'
    )


def _short(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def swatch(index: int) -> Markup:
    """Return the key of curve ``index`` for a legend: a short line in its colour and dash."""
    dash = dash_of(index)
    gaps = "" if isinstance(dash, str) else ",".join(f"{2 * length:g}" for length in dash[1])
    return markup(
        '<svg class="key" viewBox="0 0 26 8" aria-hidden="true"><path d="M0 4H26" '
        f'style="stroke: var(--s{index % SERIES + 1}); stroke-dasharray: {gaps or "none"}"/></svg>'
    )
