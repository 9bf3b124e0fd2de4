"""Which shards of a stream may be read now. Pure.

Streams promises order per item only, and a parent's records come before its children's: a child is read once its parent is read to
its end, or is no longer there at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


def readable(shards: Iterable[Shard], progress: Mapping[str, Progress]) -> list[Shard]:
    """Shards that are not read to their end and whose parents are, or are gone. In the order of their ids."""
    listed = {shard.id: shard for shard in shards}
    return [
        shard
        for _, shard in sorted(listed.items())
        if not progress.get(shard.id, Progress()).ended and (shard.parent not in listed or progress.get(shard.parent, Progress()).ended)
    ]
