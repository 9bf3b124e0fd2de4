"""How near each of Headrace's hops is to what its calls cost at the least. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from msgspec import Struct

from loadtest.bench.ceilings import Ceiling
from loadtest.bench.turns import Turn

MADE_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": ("decode", "send", "script"),
    "commands": ("receive", "append", "script"),
    "relay": ("stream", "publish"),
    "projector-rds": ("receive", "insert"),
    "projector-cache": ("receive", "insert"),
}
"""The calls without which the hop cannot do its work, by the names of the ceilings."""


class Near(Struct, frozen=True):
    """`percent`: the ceilings' CPU over the hop's; 100 would be nothing but those calls."""

    hop: str
    cpu_us: float
    ceilings: list[str]
    ceiling_us: float
    percent: float


def nearness(turns: Sequence[Turn], ceilings: Mapping[str, Ceiling]) -> list[Near]:
    """Hop by hop, from the medians over Headrace's turns; empty where one of the two was not measured."""
    if not turns or not ceilings:
        return []
    found = []
    for hop, parts in MADE_OF.items():
        spent = median(turn.cpu_ms_by_part[hop] for turn in turns) * 1000
        least = sum(ceilings[name].cpu_us for name in parts)
        found.append(Near(hop, spent, list(parts), least, 100 * least / spent))
    return found
