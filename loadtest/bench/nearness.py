"""How near each of Headrace's hops is to what its calls cost at the least. Pure."""

from msgspec import Struct


class Near(Struct, frozen=True):
    """`percent`: the ceilings' CPU over the hop's; 100 would be nothing but those calls."""

    hop: str
    cpu_us: float
    ceilings: list[str]
    ceiling_us: float
    percent: float
