"""Durations by class, each a fifth wider than the one before: percentiles within a tenth, and histograms can be added up."""

import bisect
from collections.abc import Iterable

# Upper bounds in seconds, from 0.5 ms to about 20 hours.
BOUNDS = [0.0005 * 1.2**n for n in range(103)]

Histogram = dict[int, int]


def class_of(seconds: float) -> int:
    return bisect.bisect_left(BOUNDS, seconds)


def made(durations: Iterable[float]) -> Histogram:
    found: Histogram = {}
    for seconds in durations:
        place = class_of(max(0.0, seconds))
        found[place] = found.get(place, 0) + 1
    return found


def added(histograms: Iterable[Histogram]) -> Histogram:
    total: Histogram = {}
    for histogram in histograms:
        for place, count in histogram.items():
            total[place] = total.get(place, 0) + count
    return total


def percentile(histogram: Histogram, share: float) -> float | None:
    """Seconds that `share` (0 to 1) of the durations do not pass; None where there are none."""
    rank = share * sum(histogram.values())
    if not rank:
        return None
    seen = 0
    for place in sorted(histogram):
        seen += histogram[place]
        if seen >= rank:
            break
    return middle_of(place)


def middle_of(place: int) -> float:
    lower = BOUNDS[place - 1] if place else 0.0
    upper = BOUNDS[min(place, len(BOUNDS) - 1)]
    return (lower + upper) / 2
