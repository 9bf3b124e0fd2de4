"""Each hop alone, as fast as it can be had here."""

from msgspec import Struct


class Ceiling(Struct, frozen=True):
    """`does` says what it is; per second and microseconds of the client's CPU an item."""

    does: str
    per_s: float
    cpu_us: float
