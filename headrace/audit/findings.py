"""What an audit comes to: the object of `headrace audit --json`."""

from typing import Final

from msgspec import Struct

CHECKED: Final = ("I2", "I3", "I4", "I6", "I7")


class Difference(Struct, frozen=True):
    """One thing that must hold and does not."""

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
    """Commits stored that a projector has not passed yet, when the settling time ran out."""
    parked: int
    discarded: int
    differences: list[Difference]
