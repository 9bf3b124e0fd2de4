"""What an audit comes to: the object of `headrace audit --json`."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

CHECKED: Final = ("I2", "I3", "I4", "I5", "I6", "I7")
NAMED: Final = 20_000
"""Differences that are named; of what differs beyond, only how much it is: an audit's memory is bounded whatever went wrong."""


class Difference(Struct, frozen=True, order=True):
    """One thing that must hold and does not. `stream`: of sums, their table and key."""

    invariant: str
    stream: str
    detail: str


class Findings(Struct):
    """Parked and discarded streams are counted, not differences."""

    ok: bool
    checked: tuple[str, ...]
    streams: int
    events: int
    pending: int
    """Streams that a projector has not passed as far as they were stored when they were read, when the settling time ran out."""
    parked: int
    discarded: int
    differences: list[Difference]
    unnamed: int = 0
    """Differences beyond those."""


class Noted:
    """Differences as they are found."""

    def __init__(self, most: int = NAMED) -> None:
        self.named: list[Difference] = []
        self.unnamed = 0
        self._most = most

    def note(self, invariant: str, stream: str, detail: str) -> None:
        if len(self.named) < self._most:
            self.named.append(Difference(invariant, stream, detail))
        else:
            self.unnamed += 1

    def note_all(self, invariant: str, stream: str, details: Iterable[str]) -> None:
        for each in details:
            self.note(invariant, stream, each)
