"""SVG that belongs to the page: matplotlib's own, made small, in the page's colours and font.

Colours are CSS variables of the page (``--ink``, ``--grid``, ``--s1`` to ``--s6``), so one figure serves
light and dark; text stays text in the page's own font; ids carry the figure's key, so that many
figures share a page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "HEAT",
    "INK",
    "SERIES",
    "dash_of",
    "figure_axes",
    "finished",
    "markup",
    "style_of",
]

SERIES = 6  # colours; more curves start again, with another dash
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 3)), (0, (3, 1)))
# Stand-ins that no figure would use by chance; ``finished`` turns them into the page's variables.
INK, GRID, HEAT = "#0a0b01", "#0a0b02", "#0a0b03"
COLOURS = tuple(f"#0a0b1{index}" for index in range(1, SERIES + 1))
VARIABLES = {
    INK: "var(--muted)",
    GRID: "var(--grid)",
    HEAT: "var(--s1)",
    **{colour: f"var(--s{index})" for index, colour in enumerate(COLOURS, 1)},
}
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
def figure_axes(
    size_in: tuple[float, float] = SIZE_IN, **more: Any
) -> Iterator[tuple[Figure, Any]]:
    """Lend a figure and its axes in the page's style; ``more`` goes to ``Figure.subplots``."""
    from matplotlib import rc_context, rcParamsDefault
    from matplotlib.figure import Figure

    # From matplotlib's defaults, not the user's matplotlibrc: the bytes must not depend on it.
    defaults: dict[Any, Any] = {k: v for k, v in rcParamsDefault.items() if k != "backend"}
    with rc_context(defaults | dict(SETTINGS)):
        figure = Figure(figsize=size_in, layout="constrained")
        yield figure, figure.subplots(**more)


def finished(figure: Figure, key: str, label: str) -> Markup:
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
    return markup(svg.replace("<svg", head, 1).strip())


def markup(svg: str) -> Markup:
    """Return SVG text as what jinja2 need not escape."""
    # matplotlib escapes its own text; everything else here is numbers and escaped names.
    return Markup(svg)  # noqa: S704


def dash_of(index: int) -> Any:
    """Return the dash of curve ``index``, in matplotlib's terms; a second round of colours has others."""
    return DASHES[(index % SERIES + index // SERIES) % len(DASHES)]


def style_of(index: int) -> dict[str, Any]:
    """Return colour and dash of curve ``index``, as matplotlib's ``plot`` takes them."""
    return {"color": COLOURS[index % SERIES], "linestyle": dash_of(index)}
