"""Virtual time, and who waits for whom. Events of one moment happen in the order in which they were asked for."""

import heapq
from collections import deque
from collections.abc import Callable
from math import exp, log
from random import Random
from typing import Final

Then = Callable[[], None]
_Z99: Final = 2.326
"""Of the normal distribution: 99 % lie below so many deviations."""


class Clock:
    """`now` in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._count = 0

    def after(self, seconds: float, then: Then) -> None:
        """In so long."""
        self._count += 1
        heapq.heappush(self._events, (self.now + max(0.0, seconds), self._count, then))

    def run(self, until: float) -> None:
        """Everything due up to then."""
        while self._events and self._events[0][0] <= until:
            self.now, _, then = heapq.heappop(self._events)
            then()
        self.now = max(self.now, until)


class Servers:
    """So many that work at once; what comes meanwhile waits its turn. `busy`: seconds worked, of all."""

    def __init__(self, clock: Clock, count: int) -> None:
        self._clock, self._free = clock, count
        self._waiting: deque[tuple[float, Then]] = deque()
        self.busy = 0.0

    def work(self, seconds: float, then: Then) -> None:
        """`then` is called at its end."""
        if self._free:
            self._free -= 1
            self._begin(seconds, then)
        else:
            self._waiting.append((seconds, then))

    def _begin(self, seconds: float, then: Then) -> None:
        self.busy += seconds

        def end() -> None:
            if self._waiting:
                self._begin(*self._waiting.popleft())
            else:
                self._free += 1
            then()

        self._clock.after(seconds, end)


class Process:
    """One thread of a role, on a machine's cores; without a machine it has a core of its own."""

    def __init__(self, clock: Clock, machine: Servers | None) -> None:
        self._own, self._machine = Servers(clock, 1), machine
        self._todo: deque[tuple[float, Then]] = deque()
        self._doing = False
        self.busy = 0.0

    def work(self, seconds: float, then: Then) -> None:
        """One thing after the other."""
        self._todo.append((seconds, then))
        if not self._doing:
            self._next()

    def _next(self) -> None:
        self._doing = bool(self._todo)
        if not self._doing:
            return
        seconds, then = self._todo.popleft()
        self.busy += seconds

        def end() -> None:
            self._next()
            then()

        (self._machine or self._own).work(seconds, end)


class Waits:
    """How long a call takes beyond what this process works: log-normal, by its median and its 99th percentile in seconds."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def draw(self, p50: float, p99: float) -> float:
        """Never negative."""
        if p50 <= 0:
            return 0.0
        return p50 * exp(self._chance.gauss(0.0, log(max(p99, p50) / p50) / _Z99))
