"""Charts of a report as SVG, which needs no script and follows the colors of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tracker.output.drawing import track_color

WIDTH = 900
"""Width of the charts in their own units; the page scales them."""
_LANE = 14
_LEFT, _RIGHT = 70, 16
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True)
class Lane:
    """A track on the timeline: its name, color index, and the spans of time in which it was seen, seconds."""

    track_id: int
    label: str
    spans: Sequence[tuple[float, float]]


def clock(seconds: float) -> str:
    """Returns a time as text.

    Example:
        >>> clock(7.5), clock(75), clock(3675)
        ('7.5 s', '1:15', '1:01:15')
    """
    if seconds < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    minutes = f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{minutes}" if whole >= 3600 else minutes.lstrip("0") or minutes


def timeline(lanes: Sequence[Lane], duration: float) -> str:
    """Returns a chart with a lane for each track."""
    height = _LANE * len(lanes) + 26
    parts = [_axis(duration, height - 22)]
    for number, lane in enumerate(lanes):
        y = number * _LANE
        red, green, blue = track_color(lane.track_id)
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 10}" text-anchor="end">{escape(lane.label)}</text>')
        for start, end in lane.spans:
            x, width = _x(start, duration), max(1.5, _x(end, duration) - _x(start, duration))
            title = f"{escape(lane.label)}: {clock(start)} to {clock(end)}"
            parts.append(
                f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="{_LANE - 4}" rx="2" '
                f'fill="rgb({red},{green},{blue})"><title>{title}</title></rect>'
            )
    return _svg("".join(parts), height, "Who was there when")


def bars(values: Sequence[float], duration: float, title: str, unit: str = "") -> str:
    """Returns a chart of values over time, each for an equal part of the duration."""
    top, plot = 14, 120
    most = max(values, default=0) or 1
    parts = [_axis(duration, top + plot)]
    for value in (most, most / 2):
        y = top + plot * (1 - value / most)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}{escape(unit)}</text>')
    step = duration / max(1, len(values))
    for number, value in enumerate(values):
        x, end = _x(number * step, duration), _x((number + 1) * step, duration)
        height = plot * value / most
        label = f"{clock(number * step)} to {clock((number + 1) * step)}: {_number(value)}{escape(unit)}"
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="{top + plot - height:.1f}" width="{max(0.5, end - x - 1):.1f}" '
            f'height="{height:.1f}"><title>{label}</title></rect>'
        )
    return _svg("".join(parts), top + plot + 22, title)


def _x(seconds: float, duration: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * (seconds / duration if duration else 0)


def _axis(duration: float, y: float) -> str:
    step = next((step for step in _STEPS if duration / step <= 10), math.ceil(duration / 10) or 1)
    parts = [f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>']
    for number in range(int(duration / step) + 1):
        x = _x(number * step, duration)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{y}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 16}" text-anchor="middle">{clock(number * step)}</text>')
    return "".join(parts)


def _svg(content: str, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) or value >= 10 else f"{value:.1f}"
