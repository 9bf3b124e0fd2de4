"""Finds the highest rate at which no stage's backlog grows. Pure: what was seen goes in, the next thing to try comes out.

A short burst of as many posts as the stack will take says what it gets through from post to projected, all stages together; trials
around that figure say where it holds steadily.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

BURST_IN_FLIGHT: Final = 256
TRIALS: Final = 10
"""The burst among them: so many fit into the search."""
SHORTEST_SECONDS: Final = 3.0
"""Of a trial: enough looks are left of it after its lead."""
LEAD_SECONDS: Final = 1.5
"""Of a trial, before its backlogs are looked at: the linger and the pipes fill first."""
SEARCH_SECONDS: Final = 60.0
GROWTH: Final = 0.06
"""Of the rate: a backlog that grows by less is noise of the parcels."""
START: Final = 0.97
UP: Final = 1.1
DOWN: Final = 0.88


class Backlogs(NamedTuple):
    """One look, `at` seconds into a trial: how many wait before each stage."""

    at: float
    waiting: dict[str, float]


def trial_seconds(search: float) -> float:
    """Of a trial, and of the burst, in a search of so many seconds."""
    return max(SHORTEST_SECONDS, search / TRIALS)


def growth(looks: Sequence[Backlogs], stage: str) -> float:
    """Commands a second by which a stage's backlog grows: the slope of the least squares."""
    points = [(look.at, look.waiting[stage]) for look in looks if look.at >= LEAD_SECONDS and stage in look.waiting]
    if len(points) < 3:
        return 0.0
    mean_at, mean = sum(at for at, _ in points) / len(points), sum(each for _, each in points) / len(points)
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    return sum((at - mean_at) * (each - mean) for at, each in points) / spread if spread else 0.0


def growing(looks: Sequence[Backlogs], rate: float) -> list[str]:
    """Stages that do not keep up."""
    stages = sorted({stage for look in looks for stage in look.waiting})
    return [stage for stage in stages if growth(looks, stage) > GROWTH * rate]


class Search:
    """`next()` is the rate to try, None when the search is over; then `knee`."""

    def __init__(self, burst: float) -> None:
        self._rate = max(1.0, burst * START)
        self._held = 0.0
        self._failed = float("inf")

    @property
    def knee(self) -> float:
        """The highest rate that held; what was tried last, when none did."""
        return self._held or self._rate

    def next(self) -> float | None:
        """Up while it holds, down while it does not; over when the two have met."""
        if self._held and self._failed <= self._held * UP * 1.02:
            return None
        return round(self._rate, 1)

    def tried(self, rate: float, *, held: bool) -> None:
        """What came of the last one."""
        if held:
            self._held = max(self._held, rate)
            self._rate = rate * UP if rate * UP < self._failed else (rate + self._failed) / 2
        else:
            self._failed = min(self._failed, rate)
            self._rate = (self._held + rate) / 2 if self._held else rate * DOWN
