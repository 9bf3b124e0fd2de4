"""What a load is asked to do."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from headrace.costs.prices import Prices
from loadtest.knee import SEARCH_SECONDS
from loadtest.script import Shape

SETTLE_SECONDS: Final = 30.0
Say = Callable[[str], None]


class Wanted(Struct, frozen=True):
    """What to run. `rates`: steps of `seconds` each; empty: find the knee and measure there."""

    rates: tuple[float, ...]
    seconds: float
    shape: Shape
    via: str = "http"
    seed: int = 7
    processes: int = 0
    """Generator processes; 0: as many as the rate needs."""
    prices: Prices | None = None
    search: float = SEARCH_SECONDS
    """Seconds in which the knee is looked for."""
    settle: float = SETTLE_SECONDS
    """Seconds that the audit gives what is under way."""
