"""Shards and leases as data, and which shards may be read now. Pure.

Streams promises order per item only, and a parent's records come before its children's: a child is read once its parent is read to
its end, or is no longer there at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct


class Shard(Struct, frozen=True):
    """One slice of a stream, as DescribeStream lists it."""

    id: str
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a shard was read: up to and with `sequence` ("" : nothing yet), to its end when `ended`."""

    sequence: str = ""
    ended: bool = False


FREE: Final = "-"
START: Final = Progress()


@dataclass(frozen=True, slots=True)
class Row:
    """A lease as last read or written. `key` names its shard."""

    key: str
    owner: str = FREE
    counter: int = 0
    epoch: int = 0
    progress: Progress = START
    wanted: str = ""
    """Who asked its owner for it."""
    seconds: float = 0.0
    """How long it lasts without renewal; 0 where its writer did not say."""
    held_until: float = 0.0
    """By our monotonic clock; only of a row that we wrote."""

    @property
    def new(self) -> bool:
        """Nobody ever wrote it."""
        return self.counter == 0


def readable(shards: Iterable[Shard], progress: Mapping[str, Progress]) -> list[Shard]:
    """Shards that are not read to their end and whose parents are, or are gone. In the order of their ids."""
    listed = {shard.id: shard for shard in shards}
    return [
        shard
        for _, shard in sorted(listed.items())
        if not progress.get(shard.id, START).ended and (shard.parent not in listed or progress.get(shard.parent, START).ended)
    ]
