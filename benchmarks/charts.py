"""Line charts as SVG, without dependencies. They follow the reader's light or dark scheme."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 940, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 330, 40, 48
COLOURS = ("#0b6e4f", "#b5451b", "#2456a6", "#8a5a00", "#7a2a80", "#4d4d4d")
POINTS_MAX = 400
"""Points of a line at most: more cannot be told apart at this width."""


@dataclass(frozen=True, slots=True)
class Series:
    """A named line through points (x, y)."""

    name: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


def chart(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> str:
    """Return the whole picture. Axes are linear and begin at 0."""
    drawn = [each for each in series if each.points]
    x_max = max((x for each in drawn for x, _ in each.points), default=1.0) or 1.0
    y_max = max((y for each in drawn for _, y in each.points), default=1.0) or 1.0
    lines = [_head(title), *_axes(x_name, y_name, x_max, y_max)]
    for number, each in enumerate(drawn):
        colour = COLOURS[(number // 2) % len(COLOURS)]
        lines.append(_line(each, colour, x_max, y_max))
        lines.append(_legend(each, colour, number))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _head(title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif">'
        f"<title>{escape(title)}</title>"
        "<style>text{font-size:12px;fill:#222}.axis{stroke:#666;stroke-width:1}"
        "@media (prefers-color-scheme:dark){text{fill:#ddd}}</style>"
        f'<text x="{LEFT}" y="22" font-weight="bold">{escape(title)}</text>'
    )


def _axes(x_name: str, y_name: str, x_max: float, y_max: float) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    found = [
        f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{bottom}H{right}"/>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_name)}</text>',
        f'<text x="16" y="{(TOP + bottom) / 2}" text-anchor="middle"'
        f' transform="rotate(-90 16 {(TOP + bottom) / 2})">{escape(y_name)}</text>',
    ]
    for step in range(5):
        x, y = _at(x_max * step / 4, y_max * step / 4, x_max, y_max)
        found.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{x_max * step / 4:,.0f}</text>')
        found.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{y_max * step / 4:,.0f}</text>')
    return found


def _line(series: Series, colour: str, x_max: float, y_max: float) -> str:
    every = max(1, len(series.points) // POINTS_MAX)
    kept = (*series.points[::every], series.points[-1])
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_at(*point, x_max, y_max) for point in kept))
    dashes = ' stroke-dasharray="5 4"' if series.dashed else ""
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.6"{dashes} points="{path}"/>'


def _legend(series: Series, colour: str, number: int) -> str:
    x, y = WIDTH - RIGHT + 14, TOP + 8 + number * 18
    dashes = ' stroke-dasharray="5 4"' if series.dashed else ""
    return (
        f'<path stroke="{colour}" stroke-width="2"{dashes} d="M{x} {y}h24"/>'
        f'<text x="{x + 30}" y="{y + 4}">{escape(series.name)}</text>'
    )


def _at(x: float, y: float, x_max: float, y_max: float) -> tuple[float, float]:
    width, height = WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP
    return LEFT + x / x_max * width, HEIGHT - BOTTOM - y / y_max * height
