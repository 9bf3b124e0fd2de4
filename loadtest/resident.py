"""What roles hold in memory over a long run: between a mark, by which each has what its work needs, and the end. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

MARK: Final = 0.3
"""Of the time: minute 3 of ten. What a role needs for its work it has by then."""
WINDOW: Final = 0.05
"""Of the time, over which memory is looked at."""


class Seen(NamedTuple):
    """Memory of each role (MB), commands on their way and commits appended, so many seconds after the start."""

    at: float
    rss_mb: dict[str, float]
    waiting: float = 0.0
    appended: float = 0.0


def memory(seen: Sequence[Seen], duration: float) -> dict[str, dict[str, float]]:
    """By role: MB at the mark, at the end, the most, and how many times the first the second is."""
    half = duration * WINDOW / 2
    mark, end = around(seen, duration * MARK, half), around(seen, duration - half, half)
    found = {}
    for role in sorted(seen[-1].rss_mb):
        early, late = (round(median(each.rss_mb.get(role, 0.0) for each in part), 1) for part in (mark, end))
        peak = max(each.rss_mb.get(role, 0.0) for each in seen)
        found[role] = {"mark": early, "end": late, "peak": peak, "times": round(late / early, 3) if early else 0.0}
    return found


def standstill(seen: Sequence[Seen]) -> float:
    """Seconds: the longest time from one look that saw new commits to the next such look."""
    moved = [seen[0], *(each for before, each in pairwise(seen) if each.appended != before.appended), seen[-1]]
    return round(max(later.at - earlier.at for earlier, later in pairwise(moved)), 1)


def around(seen: Sequence[Seen], at: float, half: float) -> list[Seen]:
    """What was seen within `half` seconds of `at`; what was seen nearest, where that is nothing."""
    return [each for each in seen if abs(each.at - at) <= half] or [min(seen, key=lambda each: abs(each.at - at))]
