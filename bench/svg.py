"""Plots as SVG, written by hand: lines over a plane, and bars one behind the other."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

_FONT: Final = 'font-family="sans-serif" fill="#222"'
_GRID: Final = "#ddd"
_PANEL_WIDTH, _PANEL_HEIGHT = 300, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 34, 42
_LEGEND_HEIGHT: Final = 26
_ROW: Final = 22
_NAME_WIDTH, _BARS_WIDTH, _TOLD_WIDTH = 120, 520, 170
_TICKS: Final = 5

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn."""

    colour: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over a plane, each through its points, both axes from 0."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Points]


@dataclass(frozen=True, slots=True)
class Bar:
    """From `began`, so long; told: what stands behind it."""

    name: str
    began: float
    length: float
    told: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Bars, one below the other."""

    title: str
    bars: Sequence[Bar]


def panels(every: Sequence[Panel], looks: Mapping[str, Look]) -> str:
    """Side by side, below one legend of the series that occur."""
    names = [name for name in looks if any(name in panel.lines for panel in every)]
    legend = sum(map(_legend_width, names)) + _LEFT
    width, height = max(_PANEL_WIDTH * len(every), legend), _PANEL_HEIGHT + _LEGEND_HEIGHT
    parts = [*_legend(names, looks)]
    for number, panel in enumerate(every):
        inner = "".join(_panel(panel, looks))
        parts.append(
            f'<g transform="translate({number * _PANEL_WIDTH},{_LEGEND_HEIGHT})">{inner}</g>'
        )
    return _document(width, height, parts)


def waterfalls(every: Sequence[Waterfall], colour: str) -> str:
    """One below the other, each on a scale of its own."""
    parts: list[str] = []
    top = 0
    for each in every:
        parts.append(f'<g transform="translate(0,{top})">{"".join(_waterfall(each, colour))}</g>')
        top += _TOP + _ROW * len(each.bars) + 12
    return _document(_NAME_WIDTH + _BARS_WIDTH + _TOLD_WIDTH, top, parts)


def ticks(most: float) -> list[float]:
    """From 0 to at least `most`, at round numbers."""
    if most <= 0:
        return [0.0, 1.0]
    raw = most / _TICKS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.999)
    return [step * number for number in range(math.ceil(most / step * 0.999) + 1)]


def _document(width: int, height: int, parts: Sequence[str]) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    ground = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    body = "\n".join([ground, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{body}\n</svg>\n'


def _legend(names: Sequence[str], looks: Mapping[str, Look]) -> Iterator[str]:
    at = _LEFT
    for name in names:
        yield f'<path d="M{at} 14h24" {_stroke(looks[name])}/>'
        yield _text(at + 30, 18, name, 12)
        at += _legend_width(name)


def _legend_width(name: str) -> int:
    return 46 + 7 * len(name)


def _panel(panel: Panel, looks: Mapping[str, Look]) -> Iterator[str]:
    points = [point for line in panel.lines.values() for point in line]
    across = ticks(max((x for x, _ in points), default=0.0))
    up = ticks(max((y for _, y in points), default=0.0))
    right, bottom = _PANEL_WIDTH - _RIGHT, _PANEL_HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + x / across[-1] * (right - _LEFT), 1),
            round(bottom - y / up[-1] * (bottom - _TOP), 1),
        )

    yield _text(_LEFT, 20, panel.title, 13, weight="bold")
    for tick in up:
        _, y = place(0, tick)
        yield f'<path d="M{_LEFT} {y}H{right}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 6, y + 4, f"{tick:g}", 11, anchor="end")
    for tick in across:
        x, _ = place(tick, 0)
        yield f'<path d="M{x} {_TOP}V{bottom}" stroke="{_GRID}"/>'
        yield _text(x, bottom + 15, f"{tick:g}", 11, anchor="middle")
    yield _text((_LEFT + right) / 2, bottom + 32, panel.x, 11, anchor="middle")
    turned = f'transform="rotate(-90 12 {(bottom + _TOP) / 2})"'
    yield _text(12, (bottom + _TOP) / 2, panel.y, 11, anchor="middle", more=turned)
    for name, line in panel.lines.items():
        places = [place(x, y) for x, y in sorted(line)]
        path = "L".join(f"{x} {y}" for x, y in places)
        yield f'<path d="M{path}" {_stroke(looks[name])}/>'
        for x, y in places:
            yield f'<circle cx="{x}" cy="{y}" r="3" fill="{looks[name].colour}"/>'


def _waterfall(each: Waterfall, colour: str) -> Iterator[str]:
    whole = max((bar.began + bar.length for bar in each.bars), default=0.0) or 1.0
    yield _text(8, 20, each.title, 13, weight="bold")
    for number, bar in enumerate(each.bars):
        top = _TOP + number * _ROW
        x = round(_NAME_WIDTH + bar.began / whole * _BARS_WIDTH, 1)
        width = max(round(bar.length / whole * _BARS_WIDTH, 1), 1)
        yield _text(_NAME_WIDTH - 8, top + 14, bar.name, 12, anchor="end")
        yield f'<rect x="{x}" y="{top + 2}" width="{width}" height="{_ROW - 6}" fill="{colour}"/>'
        yield _text(x + width + 6, top + 14, bar.told, 11)


def _stroke(look: Look) -> str:
    dashes = ' stroke-dasharray="5 3"' if look.dashed else ""
    return f'fill="none" stroke="{look.colour}" stroke-width="2"{dashes}'


def _text(
    x: float,
    y: float,
    words: str,
    size: int,
    *,
    anchor: str = "start",
    weight: str = "normal",
    more: str = "",
) -> str:
    how = f'text-anchor="{anchor}" font-weight="{weight}" font-size="{size}" {_FONT} {more}'
    return f'<text x="{x}" y="{y}" {how.strip()}>{escape(words)}</text>'
