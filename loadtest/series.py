"""What happened when: the generators' ticks and the looks at the stack, for the plots and the live view."""

import time

from msgspec import Struct, field

from loadtest.histograms import figures, merged
from loadtest.phases import Tick
from loadtest.watch import Look


class Second(Struct):
    """One second of the generators. Latencies in ms from the intended start, of what was answered in it."""

    at: float
    posted: int = 0
    accepted: int = 0
    refused: int = 0
    in_flight: int = 0
    histograms: list[str] = field(default_factory=list)

    def latency(self) -> dict[str, float | None]:
        """p50, p90, p99 and max."""
        return figures(merged(self.histograms))


class Series(Struct):
    """`began` and `ended` frame what was measured (Unix time)."""

    seconds: dict[int, Second] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    def begin(self) -> None:
        """What follows is measured."""
        self.began = time.time()

    def end(self) -> None:
        """It is over."""
        self.ended = time.time()

    def look(self, look: Look) -> None:
        """The watch's."""
        self.looks.append(look)

    def tick(self, worker: int, tick: Tick) -> None:  # noqa: ARG002 - who said it does not matter
        """A generator's."""
        second = self.seconds.setdefault(int(tick.at), Second(float(int(tick.at))))
        second.posted += tick.posted
        second.accepted += tick.accepted
        second.refused += tick.refused
        second.in_flight = max(second.in_flight, tick.in_flight)
        second.histograms.append(tick.latency)

    def measured(self) -> tuple[list[Second], list[Look]]:
        """What lies in the frame, in order."""
        seconds = [each for _, each in sorted(self.seconds.items()) if self.began - 1 <= each.at <= self.ended]
        return seconds, [look for look in self.looks if self.began <= look.at <= self.ended]
