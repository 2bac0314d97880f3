"""Numbers as the report shows them: a real minus sign, a dash for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = [
    "FILTERS",
    "count_text",
    "duration_text",
    "metric_text",
    "share_text",
    "short_text",
    "size_text",
]

MINUS = "\N{MINUS SIGN}"


def count_text(value: float | None) -> str:
    """Return a whole number with separators.

    >>> count_text(1234567), count_text(None)
    ('1,234,567', '–')
    """
    return "–" if value is None else f"{value:,.0f}".replace("-", MINUS)


def metric_text(value: float | None) -> str:
    """Return a metric with about five significant digits.

    >>> metric_text(0.80531), metric_text(1234.5678), metric_text(-0.25), metric_text(None)
    ('0.8053', '1,234.6', '−0.2500', '–')
    """
    if value is None:
        return "–"
    size = abs(value)
    decimals = 4 if size < 10 else 2 if size < 100 else 1 if size < 10_000 else 0
    small = 0 < size < 5e-5
    return (f"{value:.2e}" if small else f"{value:,.{decimals}f}").replace("-", MINUS)


def short_text(value: float | None) -> str:
    """Return any number in little room.

    >>> short_text(2013.0), short_text(12500.0), short_text(0.037512), short_text(1.5e9)
    ('2013', '12,500', '0.0375', '1.50e+09')
    """
    if value is None:
        return "–"
    whole = float(value).is_integer() and abs(value) < 1e7
    if whole or 1000 <= abs(value) < 1e7:
        # No separator in four digits: they may be years.
        return f"{value:{',' if abs(value) >= 10_000 else ''}.0f}".replace("-", MINUS)
    return (f"{value:.3g}" if 1e-3 <= abs(value) < 1e7 else f"{value:.2e}").replace("-", MINUS)


def share_text(value: float | None) -> str:
    """Return a share (0 to 1) in per cent.

    >>> share_text(0.1234), share_text(0.0), share_text(0.0002), share_text(1.0)
    ('12.3 %', '0 %', '<0.1 %', '100 %')
    """
    if value is None:
        return "–"
    if value in (0, 1):
        return f"{value:.0%}".replace("%", " %")
    if 0 < value < 0.001:
        return "<0.1 %"
    return ">99.9 %" if 0.999 < value < 1 else f"{value:.1%}".replace("%", " %")


def size_text(value: float | None) -> str:
    """Return bytes in decimal units.

    >>> size_text(512), size_text(579_000_000)
    ('512 B', '579 MB')
    """
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def duration_text(value: float | None) -> str:
    """Return seconds as a person says them.

    >>> duration_text(0.04), duration_text(12.34), duration_text(125.0)
    ('0.04 s', '12.3 s', '2 min 05 s')
    """
    if value is None:
        return "–"
    if value >= 119.95:
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes:,} min {seconds:02d} s"
    return f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


FILTERS: Mapping[str, Callable[[float | None], str]] = {  # as the templates call them
    "count": count_text,
    "metric": metric_text,
    "short": short_text,
    "share": share_text,
    "size": size_text,
    "duration": duration_text,
}
