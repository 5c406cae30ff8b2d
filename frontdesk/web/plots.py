"""Plots as SVG made here: bars and lines with axes. Colours are classes, because our pages allow no inline style."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 24
MOST_LABELS = 8


@dataclass(frozen=True, slots=True)
class Series:
    """`values`: one for each place on the x axis, None where there is nothing. `look`: a, b or c, its colour in desk.css."""

    name: str
    look: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Plot:
    """What _plot.html draws: all numbers are in the units of the SVG's view box."""

    title: str
    unit: str
    labels: Sequence[str]
    series: Sequence[Series]
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]]
    bars: list[tuple[float, float, float, float, str, str]]  # x, y, width, height, look, words
    lines: list[tuple[str, str]]  # points, look
    dots: list[tuple[float, float, str, str]]  # x, y, look, words

    @property
    def is_empty(self) -> bool:
        return not any(value for one in self.series for value in one.values)


def bar_plot(title: str, unit: str, labels: Sequence[str], series: Sequence[Series]) -> Plot:
    """Bars of one place stand side by side."""
    top, y_ticks = _y_axis(series)
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(labels))
    width = max(1.0, slot * 0.8 / max(1, len(series)))
    bars = []
    for number, one in enumerate(series):
        for place, value in enumerate(one.values):
            if value:
                x = LEFT + slot * place + slot * 0.1 + width * number
                y = _y(value, top)
                words = f"{labels[place]}: {one.name} {_written(value)}{unit}"
                bars.append((_r(x), _r(y), _r(width), _r(HEIGHT - BOTTOM - y), one.look, words))
    return Plot(title, unit, labels, series, y_ticks, _x_axis(labels, slot), bars, [], [])


def line_plot(title: str, unit: str, labels: Sequence[str], series: Sequence[Series]) -> Plot:
    """A line breaks where there is no value."""
    top, y_ticks = _y_axis(series)
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(labels))
    lines, dots = [], []
    for one in series:
        run: list[str] = []
        for place, value in enumerate([*one.values, None]):
            if value is None:
                if len(run) > 1:
                    lines.append((" ".join(run), one.look))
                run = []
                continue
            x, y = _r(LEFT + slot * (place + 0.5)), _r(_y(value, top))
            run.append(f"{x},{y}")
            dots.append((x, y, one.look, f"{labels[place]}: {one.name} {_written(value)}{unit}"))
    return Plot(title, unit, labels, series, y_ticks, _x_axis(labels, slot), [], lines, dots)


def _y_axis(series: Sequence[Series]) -> tuple[float, list[tuple[float, str]]]:
    highest = max((value for one in series for value in one.values if value), default=0) or 1
    step = _nice(highest / 4)
    if all(value is None or value == int(value) for one in series for value in one.values):
        step = max(1, step)  # there is no half a message
    top = step * math.ceil(highest / step)
    ticks = [step * n for n in range(round(top / step) + 1)]
    return top, [(_r(_y(tick, top)), _written(tick)) for tick in ticks]


def _x_axis(labels: Sequence[str], slot: float) -> list[tuple[float, str]]:
    every = math.ceil(len(labels) / MOST_LABELS) or 1
    return [(_r(LEFT + slot * (place + 0.5)), label) for place, label in enumerate(labels) if place % every == 0]


def _nice(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value * 0.999)


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)


def _r(value: float) -> float:
    return round(value, 1)


def _written(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
