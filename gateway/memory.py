"""What a gateway remembers outside itself for a quarter of an hour, best effort: the port."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from events.envelope import Command
from events.outcome import Outcome


class Known(NamedTuple):
    """What is known of a command id on a stream: by actor, an outcome, or None while it is pending."""

    by_actor: dict[str, Outcome | None]
    age: float
    """Seconds since the entry was last written, as far as its expiry tells; 0 when there is none."""


class Memory(Protocol):
    """None of these raises, and none takes longer than a moment."""

    async def claim(self, commands: Sequence[Command]) -> list[str]:
        """The fingerprint that holds each command's id; the command's own when nothing is known."""
        ...

    async def mark(self, commands: Sequence[Command]) -> None:
        """Leave a mark for each accepted command; never over an outcome."""
        ...

    async def known(self, stream: str, command_id: str) -> Known | None:
        """None when the memory is away."""
        ...
