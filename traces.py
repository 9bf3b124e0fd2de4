"""When each command got where, and what follows from it: latencies, backlogs, order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, isnan, nan

STAGES = ("accepted", "applied", "published", "visible")


def quantile(values: Sequence[float], share: float) -> float:
    """Of unsorted values, the nearest rank; nan of none."""
    if not values:
        return nan
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


@dataclass(slots=True)
class Trace:
    """By number of a command. Times in seconds; nan: not yet."""

    posted: list[float] = field(default_factory=list)
    sender: list[int] = field(default_factory=list)
    """Gateway and partition, as one number: what is posted there is applied in order."""
    shard: list[int] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    repeated: int = 0
    """Commands that came to a stage a second time."""
    disordered: int = 0
    """Commands applied before one posted earlier to the same gateway and partition, or shown before one of the same shard and group that
    was applied earlier."""
    _applied: dict[int, int] = field(default_factory=dict)
    _order: list[int] = field(default_factory=list)
    _count: int = 0
    _shown: dict[tuple[int, int], int] = field(default_factory=dict)

    def post(self, now: float, sender: int, shard: int, group: int) -> int:
        """The new command's number."""
        self.posted.append(now)
        self.sender.append(sender)
        self.shard.append(shard)
        self.group.append(group)
        self._order.append(0)
        for times in self.times.values():
            times.append(nan)
        return len(self.posted) - 1

    def reach(self, stage: str, now: float, numbers: Sequence[int]) -> None:
        """They got there."""
        times = self.times[stage]
        for number in numbers:
            if not isnan(times[number]):
                self.repeated += 1
            times[number] = now
        if stage == "applied":
            self._check_applied(numbers)
        elif stage == "visible":
            self._check_shown(numbers)

    def _check_applied(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            sender = self.sender[number]
            self.disordered += number < self._applied.get(sender, -1)
            self._applied[sender] = max(number, self._applied.get(sender, -1))
            self._count += 1
            self._order[number] = self._count

    def _check_shown(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            lane = (self.shard[number], self.group[number])
            self.disordered += self._order[number] < self._shown.get(lane, 0)
            self._shown[lane] = max(self._order[number], self._shown.get(lane, 0))

    def reached(self, stage: str, by: float) -> int:
        """How many had got there at that time."""
        return sum(1 for at in self.times[stage] if at <= by)

    def since_posted(self, stage: str) -> list[float]:
        """Seconds, of those that got there."""
        return [at - began for at, began in zip(self.times[stage], self.posted, strict=True) if not isnan(at)]

    def hop(self, stage: str) -> list[float]:
        """Seconds from the stage before, of those that got there. A command may be applied before its caller has the answer."""
        before = self.posted if stage == "accepted" else self.times[STAGES[STAGES.index(stage) - 1]]
        return [max(0.0, at - began) for at, began in zip(self.times[stage], before, strict=True) if not (isnan(at) or isnan(began))]
