"""Draws a dashboard's panels as SVG, with the series that Prometheus gave for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLUMN, ROW = 52, 32  # pixels of a unit of the dashboard's grid
_GAP = 6
_LEFT, _RIGHT, _TOP, _AXIS, _LINE = 52, 12, 32, 20, 16
_COLORS = ("#3274d9", "#e0752d", "#56a64b", "#8f3bb8", "#e02f44", "#0a8a8a", "#a16a00", "#6e7480")
_INK, _FAINT, _GRID, _EDGE = "#24292e", "#6e7480", "#e9edf2", "#d3d9e0"
_FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
_LETTER = 5.7  # pixels of a letter of the legend, about
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")

Point = tuple[float, float]  # Unix time, value


@dataclass(frozen=True)
class Series:
    """One line: its name and its points."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Frame:
    """Where a panel is and what it says, in units of the grid."""

    x: int
    y: int
    width: int
    height: int
    title: str
    unit: str = "short"
    low: float | None = None
    high: float | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height in pixels."""
        return (
            self.x * COLUMN + _GAP / 2,
            self.y * ROW + _GAP / 2,
            self.width * COLUMN - _GAP,
            self.height * ROW - _GAP,
        )


def page(parts: Sequence[str], *, width: int, height: int) -> str:
    """A picture of all panels."""
    size = f'width="{width * COLUMN}" height="{height * ROW}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONT}" font-size="11">\n'
        f'<rect {size} fill="#f4f5f7"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def heading(frame: Frame) -> str:
    """The title of a row."""
    x, y, _, height = frame.box
    return _text(x + 4, y + height / 2 + 5, frame.title, size=15, weight=600)


def lines(frame: Frame, series: Sequence[Series], begin: float, end: float) -> str:
    """A panel with lines over time, axes and a legend."""
    x, y, width, height = frame.box
    legend, rows = _legend(series, x + 10, y + height - 8, width - 20)
    left, top = x + _LEFT, y + _TOP
    right, bottom = x + width - _RIGHT, y + height - _AXIS - rows * _LINE - 4
    values = [v for one in series for _, v in one.points if math.isfinite(v)]
    if not values:
        return _panel(frame) + _nothing(frame)
    least = min(values) if frame.low is None else frame.low
    most = max(values) if frame.high is None else frame.high
    # Round numbers of MiB, not of bytes.
    scale = 1024 ** _power(most) if frame.unit == "bytes" else 1
    ticks = [scale * tick for tick in _ticks(least / scale, most / scale)]
    low, high = ticks[0], ticks[-1]

    def place(time: float, value: float) -> Point:
        across = (time - begin) / (end - begin)
        up = (min(max(value, low), high) - low) / (high - low)
        return left + across * (right - left), bottom - up * (bottom - top)

    drawn = [_panel(frame)]
    for tick in ticks:
        _, level = place(begin, tick)
        drawn.append(_rule(left, level, right, level))
        drawn.append(_text(left - 6, level + 4, shown(tick, frame.unit), anchor="end"))
    for minute in _minutes(end - begin):
        at, _ = place(begin + 60 * minute, low)
        drawn.append(_text(at, bottom + 14, f"{minute} min", anchor="middle"))
    for number, one in enumerate(series):
        path = ""
        for time, value in one.points:
            if math.isfinite(value):
                px, py = place(time, value)
                path += f"{'L' if path else 'M'}{px:.1f} {py:.1f}"
        if path:
            drawn.append(
                f'<path d="{path}" fill="none" stroke="{_color(number)}" stroke-width="1.4"/>'
            )
    return "\n".join([*drawn, *legend])


def number(frame: Frame, value: float | None) -> str:
    """A panel with one large number."""
    if value is None:
        return _panel(frame) + _nothing(frame)
    x, y, width, height = frame.box
    text = shown(value, frame.unit)
    middle = _text(
        x + width / 2, y + height / 2 + 22, text, size=30, anchor="middle", ink="#3c873a"
    )
    return _panel(frame) + middle


def cells(frame: Frame, buckets: Sequence[Series], begin: float, end: float, step: float) -> str:
    """A histogram over time: one row of cells for each bucket, the darker the more samples.

    Args:
        frame: of the panel.
        buckets: cumulative counts by upper bound, from the lowest bound to the highest.
        begin: Unix time at the left edge.
        end: Unix time at the right edge.
        step: seconds between two points.
    """
    x, y, width, height = frame.box
    left, top, right, bottom = x + _LEFT, y + _TOP, x + width - _RIGHT, y + height - _AXIS - 6
    most = max((v for one in buckets for _, v in one.points), default=0)
    if not most:
        return _panel(frame) + _nothing(frame)
    tall = (bottom - top) / len(buckets)
    wide = (right - left) * step / (end - begin)
    drawn = [_panel(frame)]
    below: dict[float, float] = {}
    for place, one in enumerate(buckets):
        level = bottom - (place + 1) * tall
        if place % 3 == 0:
            drawn.append(_text(left - 6, level + tall / 2 + 4, one.name, anchor="end"))
        for time, value in one.points:
            count = value - below.get(time, 0.0)
            below[time] = value
            if count > 0:
                across = left + (time - begin) / (end - begin) * (right - left)
                shade = 0.12 + 0.88 * math.sqrt(count / most)
                drawn.append(
                    f'<rect x="{min(across, right - wide):.1f}" y="{level:.1f}" '
                    f'width="{wide:.1f}" height="{tall:.1f}" fill="#1f60c4" '
                    f'fill-opacity="{min(1, shade):.2f}"/>'
                )
    for minute in _minutes(end - begin):
        at = left + 60 * minute / (end - begin) * (right - left)
        drawn.append(_text(at, bottom + 14, f"{minute} min", anchor="middle"))
    return "\n".join(drawn)


def table(frame: Frame, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A panel with a table."""
    x, y, width, _ = frame.box
    letters = [max(len(row[place]) for row in [head, *rows]) + 4 for place in range(len(head))]
    wide = (width - 20) / sum(letters)
    drawn = [_panel(frame)]
    for line, row in enumerate([head, *rows]):
        level = y + _TOP + 22 + 26 * line
        drawn.append(_rule(x + 10, level + 8, x + width - 10, level + 8))
        for place, text in enumerate(row):
            ink = _INK if line else "#1f60c4"
            at = x + 14 + wide * sum(letters[:place])
            drawn.append(_text(at, level, text, size=12, ink=ink))
    return "\n".join(drawn)


def shown(value: float, unit: str) -> str:
    """A value with its unit, as Grafana shows it."""
    if unit == "percentunit":
        return f"{100 * value:.4g} %"
    if unit == "bytes":
        power = _power(value)
        return f"{value / 1024**power:.3g} {_BYTES[power]}"
    if unit == "s":
        if value == 0 or 1 <= abs(value) < 120:
            return f"{value:.3g} s"
        return f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value / 60:.3g} min"
    return f"{value / 1000:.3g} K" if abs(value) >= 1000 else f"{value:.3g}"


def _power(size: float) -> int:
    """Of 1024, so that a size in bytes is a handy number of them."""
    return min(int(math.log(size, 1024)), len(_BYTES) - 1) if size >= 1 else 0


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers around a range, four to seven of them."""
    if high <= low:
        low, high = (0.0, 1.0) if low == 0 else (low - abs(low) / 2, low + abs(low) / 2)
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * n for n in range(first, last + 1)]


def _minutes(seconds: float) -> list[int]:
    """Labels of the time axis; none so near its end that it would not fit."""
    every = next(m for m in (1, 2, 5, 10, 30, 60, 1440) if seconds / 60 / m <= 7)
    return [m for m in range(every, int(seconds / 60) + 1, every) if 60 * m < 0.96 * seconds]


def _legend(
    series: Sequence[Series], left: float, bottom: float, width: float
) -> tuple[list[str], int]:
    """The names, in as many rows as they need; and the number of rows."""
    rows: list[list[tuple[float, int]]] = [[]]
    at = 0.0
    for number, one in enumerate(series):
        long = 26 + _LETTER * len(one.name)
        if rows[-1] and at + long > width:
            rows.append([])
            at = 0.0
        rows[-1].append((left + at, number))
        at += long
    drawn = []
    for line, row in enumerate(rows):
        level = bottom - (len(rows) - 1 - line) * _LINE
        for x, number in row:
            drawn.append(
                f'<rect x="{x:.1f}" y="{level - 5:.1f}" width="12" height="3" '
                f'fill="{_color(number)}"/>'
            )
            drawn.append(_text(x + 16, level, series[number].name, ink=_INK))
    return drawn, len(rows)


def _panel(frame: Frame) -> str:
    x, y, width, height = frame.box
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="#fff" '
        f'stroke="{_EDGE}"/>' + _text(x + 10, y + 20, frame.title, size=12.5, weight=600)
    )


def _nothing(frame: Frame) -> str:
    x, y, width, height = frame.box
    return _text(x + width / 2, y + height / 2 + 12, "No data", size=13, anchor="middle")


def _color(number: int) -> str:
    return _COLORS[number % len(_COLORS)]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{_GRID}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 11,
    weight: int = 400,
    anchor: str = "start",
    ink: str = "",
) -> str:
    ink = ink or (_INK if weight > 400 else _FAINT)
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{ink}">{escape(text)}</text>'
    )
