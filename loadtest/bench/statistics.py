"""Medians, spreads and ratios over rounds. Pure."""

from collections.abc import Callable, Sequence
from statistics import median

from msgspec import Struct

from loadtest.bench.turns import Turn


class Spread(Struct, frozen=True):
    """Over the rounds."""

    median: float
    min: float
    max: float


Figure = Callable[[Turn], float]


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))


def over(turns: Sequence[Turn], figure: Figure) -> Spread:
    """A figure over a subject's turns."""
    return spread([figure(turn) for turn in turns])


def ratio(above: Sequence[Turn], below: Sequence[Turn], figure: Figure) -> Spread | None:
    """Round by round, since what disturbed a round disturbed both; None where there is nothing to divide by."""
    pairs = [(figure(one), figure(other)) for one, other in zip(above, below, strict=False)]
    found = [one / other for one, other in pairs if other > 0]
    return spread(found) if found else None
