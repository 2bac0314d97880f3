import html.parser
import re
from typing import Any

import numpy as np
import pytest

from penstock import plots

CURVE = {"fpr": [0.0, 0.1, 0.123456, 1.0], "tpr": [0.0, 0.7, 0.75, 1.0]}
PR = {"recall": [0.1, 0.5, 1.0], "precision": [1.0, 0.6, 0.25]}
BINS = [{"score": 0.1, "rate": 0.08, "rows": 10}, {"score": 0.8, "rate": 0.9, "rows": 10}]
SWEEP = {
    "threshold": [0.0, 0.3, 0.9], "precision": [0.2, 0.5, 1.0], "recall": [1.0, 0.6, 0.1], "f1": [0.33, 0.54, 0.18],
}  # fmt: skip
HISTOGRAM: Any = {
    "edges": [0.0, 0.5, 1.0],
    "negatives": [9, 1],
    "positives": [2, 8],
    "counts": [3, 7],
}

FIGURES = {
    "roc": lambda key: plots.roc([CURVE, CURVE], key=key, label="a & b"),
    "pr": lambda key: plots.precision_recall([PR], base_rate=0.2387, key=key, label="a & b"),
    "calibration": lambda key: plots.calibration(BINS, series=0, key=key, label="a & b"),
    "scores": lambda key: plots.score_histogram(HISTOGRAM, key=key, label="a & b"),
    "thresholds": lambda key: plots.thresholds(
        SWEEP, marks={"max F1": 0.3}, key=key, label="a & b"
    ),
    "lines": lambda key: plots.lines(
        [([1, 2, 3], [0.6, 0.5, 0.45])], mark=2, x="epoch", key=key, label="a & b"
    ),
    "residuals": lambda key: plots.residuals(HISTOGRAM, series=1, key=key, label="a & b"),
    "grid": lambda key: plots.predicted_actual(
        np.arange(16).reshape(4, 4).tolist(), (0.0, 50_000.0), key=key, label="a & b"
    ),
}
EACH = pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)


class Svg(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.texts, self.tags = [], [], []
        self.label = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.label = self.label or found.get("aria-label")

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())


@EACH
def test_a_figure_is_the_same_bytes_again_and_brings_no_colour_of_its_own(make):
    svg = str(make("k"))

    assert svg == str(make("k"))
    assert svg.startswith("<svg ")
    assert Svg(svg).label == "a & b"
    assert "<style" not in svg
    assert "http" not in svg
    assert "font-family" not in svg
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
    assert "var(--s1)" in svg or "var(--s2)" in svg


@EACH
def test_ids_of_two_figures_never_meet_and_all_references_hold(make):
    one, other = str(make("one")), str(make("other"))

    ids = Svg(one).ids
    assert not set(ids) & set(Svg(other).ids)
    assert all(name.startswith("one-") for name in ids)
    references = set(re.findall(r"url\(#([^)]+)\)", one)) | set(re.findall(r'href="#([^"]+)"', one))
    assert references <= set(ids)


@EACH
def test_a_matplotlibrc_of_the_user_changes_nothing(make):
    import matplotlib

    before = str(make("k"))
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "lines.linewidth": 9}):
        assert str(make("k")) == before


def test_numbers_in_text_are_not_cut():
    assert "base rate 0.239" in Svg(FIGURES["pr"]("k")).texts
    assert "30,000" in Svg(FIGURES["grid"]("k")).texts
    assert "best: 2" in [text.strip() for text in Svg(FIGURES["lines"]("k")).texts]


def test_the_first_few_rows_do_not_swing_the_precision():
    noisy = {"recall": [0.0, 0.0001, 0.5, 1.0], "precision": [0.0, 1.0, 0.6, 0.25]}
    quiet = {"recall": [0.5, 1.0], "precision": [0.6, 0.25]}

    drawn = [
        plots.precision_recall([c], base_rate=0.25, key="k", label="l") for c in (noisy, quiet)
    ]

    assert drawn[0] == drawn[1]


def test_many_models_get_colours_and_dashes_that_differ():
    svg = str(plots.roc([CURVE] * 8, key="k", label="l"))

    styles = re.findall(r'style="([^"]*stroke: var\(--s[^"]*)"', svg)
    assert len(styles) == 8
    assert len(set(styles)) == 8
    keys = [str(plots.swatch(index)) for index in range(8)]
    assert len(set(keys)) == 8


def test_a_sparkline_shows_rare_values_and_escapes_its_label():
    svg = str(plots.sparkline([100_000, 1, 0], label='<b> "x"'))

    assert Svg(svg).label == '<b> "x"'
    assert Svg(svg).tags == ["svg", "path"]
    heights = [float(h) for h in re.findall(r"v-([\d.]+)", svg)]
    assert heights == [27.0, 1.0, 0.0]


def test_an_empty_histogram_is_no_error():
    assert "<path" in str(plots.sparkline([], label="none"))


def test_a_heat_map_shades_by_sign_and_size_and_escapes_names():
    svg = str(
        plots.heat_map(
            ["a", "<i>", "c"], [[1, -0.5, None], [-0.5, 1, 0.01], [None, 0.01, 1]], label="l"
        )
    )

    shades = re.findall(r'<rect class="(\w+)"(?: fill-opacity="([\d.]+)")?', svg)
    assert shades == [("n", "0.5"), ("none", ""), ("p", "0.04")]
    texts = Svg(svg).texts
    assert "<i> × a: -0.50" in texts
    assert "c × a: undefined" in texts
    assert "i" not in Svg(svg).tags
