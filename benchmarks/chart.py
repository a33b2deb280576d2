"""Line charts as SVG, on logarithmic axes. They are simple enough to need no library.

Each line has its name at its right end, in the order of height, so no legend is needed. The colours are readable on
light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Chart"]

_WIDTH, _HEIGHT = 930, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 310, 56, 64
_COLOURS: Final = ("#0b84c6", "#d9730d", "#2a9d5c", "#c0392b", "#8e5bd0", "#7a6a53", "#c2569b", "#7f8c1f", "#11939a")
_GREY: Final = "#808890"
_LABEL_DISTANCE: Final = 15.0


@dataclass(frozen=True)
class Chart:
    """A chart of named lines, each a list of points (x, y). All values are above zero."""

    title: str
    x_name: str
    y_name: str
    lines: Mapping[str, Sequence[tuple[float, float]]]

    def svg(self) -> str:
        """Return the picture as the text of an SVG file; without lines it is an empty frame."""
        points = [point for line in self.lines.values() for point in line] or [(1.0, 1.0)]
        xs, ys = _Axis.over(x for x, _ in points), _Axis.over(y for _, y in points)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'font-family="sans-serif" font-size="13" role="img">',
            f"<title>{escape(self.title)}</title>",
            _text(_LEFT, 26, self.title, "font-size='16' font-weight='bold'"),
            _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 16, self.x_name, "text-anchor='middle'"),
            _text(_LEFT, _TOP - 10, self.y_name),
            *self._grid(xs, ys),
            *self._lines(xs, ys),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _grid(self, xs: _Axis, ys: _Axis) -> Iterator[str]:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for value in sorted({x for line in self.lines.values() for x, _ in line}):
            x = _LEFT + xs.share(value) * (right - _LEFT)
            yield _path([(x, _TOP), (x, bottom)], _GREY, 0.4)
            yield _text(x, bottom + 20, f"{value:,.6g}", "text-anchor='middle'")
        for value in ys.ticks():
            y = bottom - ys.share(value) * (bottom - _TOP)
            yield _path([(_LEFT, y), (right, y)], _GREY, 0.4)
            yield _text(_LEFT - 8, y + 4, f"{value:,.6g}", "text-anchor='end'")

    def _lines(self, xs: _Axis, ys: _Axis) -> Iterator[str]:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        ends: list[tuple[float, str, str]] = []
        for number, (name, line) in enumerate(self.lines.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            drawn = [
                (_LEFT + xs.share(x) * (right - _LEFT), bottom - ys.share(y) * (bottom - _TOP)) for x, y in sorted(line)
            ]
            if drawn:
                yield _path(drawn, colour, 2)
                yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn)
                ends.append((drawn[-1][1], name, colour))
        below = -math.inf
        for wanted, name, colour in sorted(ends):
            below = max(wanted + 4, below + _LABEL_DISTANCE)
            yield _text(right + 10, below, name, f"style='fill:{colour}'")


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis that begins at a power of ten."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterator[float]) -> _Axis:
        known = list(values)
        return cls(10 ** math.floor(math.log10(min(known))), 10 ** max(1e-9, math.log10(max(known)) + 0.05))

    def share(self, value: float) -> float:
        """Return the position of a value on the axis, 0 to 1."""
        return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))

    def ticks(self) -> list[float]:
        exponents = range(round(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [step * 10.0**each for each in exponents for step in (1, 2, 5) if step * 10.0**each <= self.high]


def _text(x: float, y: float, text: str, more: str = "") -> str:
    style = "" if "style=" in more else f"style='fill:{_GREY}'"
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}{style and " " + style}>{escape(text)}</text>'


def _path(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
