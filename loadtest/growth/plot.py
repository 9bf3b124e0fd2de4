"""The picture of an axis: small panels beside each other, as SVG. Pure."""

from collections.abc import Sequence
from html import escape
from math import log10
from typing import Final, NamedTuple

WIDTH, HEIGHT, GAP, LEFT, TOP, BOTTOM = 300, 180, 30, 56, 44, 44
COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#555555")


class Panel(NamedTuple):
    """`series`: name -> one value a point."""

    title: str
    series: dict[str, list[float]]


def plot(title: str, axis: str, labels: Sequence[str], at: Sequence[float], panels: Sequence[Panel]) -> str:
    """An SVG document. `at`: where the points stand, logarithmic when they span more than a factor of twenty. Panels begin at zero."""
    places = _places(at)
    wide = LEFT + len(panels) * (WIDTH + GAP + LEFT) - LEFT
    high = TOP + HEIGHT + BOTTOM
    drawn = "".join(
        f'<g transform="translate({LEFT + number * (WIDTH + GAP + LEFT)},{TOP})">{_panel(panel, labels, places, axis)}</g>'
        for number, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
        f' font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{LEFT}" y="16" font-size="13" font-weight="bold">{escape(title)}</text>{drawn}</svg>\n'
    )


def _places(at: Sequence[float]) -> list[float]:
    """0 to 1."""
    positive = min(at) > 0 and max(at) > 20 * min(at)
    scaled = [log10(each) for each in at] if positive else list(at)
    span = max(scaled) - min(scaled) or 1.0
    return [(each - min(scaled)) / span for each in scaled]


def _panel(panel: Panel, labels: Sequence[str], places: Sequence[float], axis: str) -> str:
    most = _round_up(max(value for values in panel.series.values() for value in values))
    parts = [f'<text x="0" y="-8">{escape(panel.title)}</text><path d="M0,0V{HEIGHT}H{WIDTH}" fill="none" stroke="#999"/>']
    for step in range(5):
        y = HEIGHT - HEIGHT * step / 4
        parts.append(
            f'<path d="M0,{y:.1f}H{WIDTH}" stroke="#eee"/><text x="-6" y="{y + 4:.1f}" text-anchor="end">{most * step / 4:g}</text>'
        )
    for place, label in zip(places, labels, strict=True):
        parts.append(f'<text x="{place * WIDTH:.1f}" y="{HEIGHT + 14}" text-anchor="middle" font-size="9">{escape(label)}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT + 32}" text-anchor="middle">{escape(axis)}</text>')
    for number, (name, values) in enumerate(panel.series.items()):
        parts.append(_line(name, [(p * WIDTH, HEIGHT - HEIGHT * v / most) for p, v in zip(places, values, strict=True)], number))
    return "".join(parts)


def _line(name: str, points: Sequence[tuple[float, float]], number: int) -> str:
    colour = COLOURS[number % len(COLOURS)]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    named = f'<text x="{WIDTH - 4}" y="{12 + 13 * number}" text-anchor="end" fill="{colour}">{escape(name)}</text>'
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>{dots}{named if name else ""}'


def _round_up(value: float) -> float:
    """To the next of 1, 2, 4, 6, 8 times a power of ten: a quarter of it is short to write."""
    if value <= 0:
        return 1.0
    ten = 10.0 ** int(log10(value) // 1)
    return next((each * ten for each in (1, 2, 4, 6, 8) if value <= each * ten), 10 * ten)
