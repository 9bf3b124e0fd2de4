"""What a gateway remembers outside itself for a quarter of an hour, best effort: the port."""

from collections.abc import Sequence, Set
from typing import NamedTuple, Protocol

from events.envelope import Command
from events.outcome import Kept, Outcome
from gateway.preparing import Prepared


class Known(NamedTuple):
    """What is known of a command id on a stream: by actor, an outcome, or None while it is pending."""

    by_actor: dict[str, Kept | None]
    age: float
    """Seconds since the entry was last written, as far as its expiry tells; 0 when there is none."""
    repeats: Set[str] = frozenset()
    """Actors who gave the id themselves and whose command is pending: their stream may know it from long ago."""


class Claim(NamedTuple):
    """What is known of a command's id when it comes in."""

    holder: str
    """Fingerprint of the command that used the id first; its own when nothing is known."""
    repeat: bool = False
    """The id was used before."""
    outcome: Outcome | None = None
    """What this very command came to, when it came before and that is remembered."""


class Memory(Protocol):
    """None of these raises, and none takes longer than a moment."""

    async def claim(self, commands: Sequence[Command]) -> list[Claim]:
        """Take each command's id for it, unless another one holds it; a claim lasts a quarter of an hour."""
        ...

    async def mark(self, accepted: Sequence[Prepared]) -> None:
        """Leave a mark for each accepted command; never over an outcome."""
        ...

    async def known(self, stream: str, command_id: str) -> Known | None:
        """None when the memory is away."""
        ...
