"""numbers -> inline SVG: lines, points and bars whose marks say where their value comes from.

Colours are classes (`s0` to `s5`) that the page's style fills, so that light and dark follow the reader.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 26, 14, 40


@dataclass(frozen=True)
class Mark:
    """A point: what its tooltip says, and what it links to."""

    x: float
    y: float
    tip: str = ""
    link: str = ""
    label: str = ""
    hollow: bool = False


@dataclass(frozen=True)
class Series:
    """Marks of one name; joined by a line, or not."""

    name: str
    marks: tuple[Mark, ...]
    joined: bool = True


@dataclass(frozen=True)
class Scale:
    """Values -> places on one axis."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value."""
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About so many round values that hold low and high between the first and the last."""
    span = high - low or abs(high) or 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    size = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first, last = math.floor(low / size + 1e-9), math.ceil(high / size - 1e-9)
    return [round(i * size, 12) for i in range(first, max(last, first + 1) + 1)]


def short(value: float) -> str:
    """A number for an axis."""
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}"
    return f"{value:.4g}"


def chart(title: str, series: Sequence[Series], x: str, y: str, *, zero: bool = False, whole: bool = False) -> str:
    """Series over one pair of axes; zero: the y axis begins at 0; whole: the x axis has whole numbers alone."""
    marks = [mark for one in series for mark in one.marks]
    xs, ys = [m.x for m in marks], [m.y for m in marks] + [0.0] * zero
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    if whole:
        x_ticks = sorted({float(math.floor(t)) for t in x_ticks} | {float(math.ceil(t)) for t in x_ticks})
    horizontal = Scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    vertical = Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    body = [*_grid(x_ticks, y_ticks, horizontal, vertical, x, y)]
    for number, one in enumerate(series):
        body += _series(one, number, horizontal, vertical)
    return _figure(title, body, HEIGHT, series)


def _grid(x_ticks: list[float], y_ticks: list[float], h: Scale, v: Scale, x: str, y: str) -> list[str]:
    made = []
    for tick in y_ticks:
        at = v.at(tick)
        made.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        made.append(_text(LEFT - 6, at + 4, short(tick), "end"))
    for tick in x_ticks:
        made.append(_text(h.at(tick), HEIGHT - BOTTOM + 16, short(tick), "middle"))
    made.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f' class="upright" transform="rotate(-90 12 {middle:.1f})"'
    return [*made, _text(12, middle, y, "middle", turned)]


def _series(one: Series, number: int, h: Scale, v: Scale) -> list[str]:
    made, colour = [], f"s{number % 6}"
    if one.joined and len(one.marks) > 1:
        path = " ".join(f"{h.at(m.x):.1f},{v.at(m.y):.1f}" for m in one.marks)
        made.append(f'<polyline class="line {colour}" points="{path}"/>')
    for mark in one.marks:
        at = f'cx="{h.at(mark.x):.1f}" cy="{v.at(mark.y):.1f}"'
        hollow = " hollow" if mark.hollow else ""
        dot = f'<circle class="dot {colour}{hollow}" {at} r="4"><title>{escape(mark.tip)}</title></circle>'
        made.append(_linked(dot, mark.link))
        if mark.label:
            made.append(_text(h.at(mark.x), v.at(mark.y) - 8, mark.label, "middle"))
    return made


def bars(title: str, marks: Sequence[Mark], unit: str) -> str:
    """A bar per mark, `y` long, named by its label; `x` is not used."""
    most = max(mark.y for mark in marks) or 1.0
    body, row, name = [], 30, 132
    for number, mark in enumerate(marks):
        top, length = 6 + number * row, (WIDTH - name - 96) * mark.y / most
        colour = "hollow s1" if mark.hollow else "s0"
        body.append(_text(name - 8, top + 15, mark.label, "end"))
        bar = f'<rect class="bar {colour}" x="{name}" y="{top}" width="{max(length, 1):.1f}" height="20" rx="3">'
        body.append(_linked(f"{bar}<title>{escape(mark.tip)}</title></rect>", mark.link))
        body.append(_text(name + length + 8, top + 15, f"{short(mark.y)} {unit}".rstrip(), "start"))
    return _figure(title, body, 12 + row * len(marks), ())


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _linked(mark: str, link: str) -> str:
    return f'<a href="#{escape(link)}">{mark}</a>' if link else mark


def _figure(title: str, body: Sequence[str], height: int, series: Sequence[Series]) -> str:
    named = [(i, one.name) for i, one in enumerate(series) if one.name]
    keys = "".join(f'<span class="key"><i class="s{i % 6}"></i>{escape(name)}</span>' for i, name in named)
    legend = f'<div class="legend">{keys}</div>' if len(named) > 1 else ""
    svg = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{legend}{svg}</figure>"
