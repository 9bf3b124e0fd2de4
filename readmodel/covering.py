"""What answers of PostgreSQL have shown to cover: so that the next read held to the same token may come from Redis. Pure.

A read that was held to tokens and then answered by PostgreSQL at version `v` of its key proves that this key at `v`, and at anything
newer, shows those tokens. Versions of a key only grow; a Redis that came back with older values shows an older version and is not trusted.
"""

from collections import OrderedDict
from typing import Final

from events.ids import StreamId, Version
from readmodel.holds import Hold

MOST: Final = 20_000


class Covered:
    """One process's memory; bounded, the longest unused goes first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, StreamId], tuple[Version, int]] = OrderedDict()
        """(key, stream) -> (version of the stream, version of the key that shows it)."""

    def note(self, key: str, version: int, hold: Hold) -> None:
        """PostgreSQL answered `key` at `version` after it had reached the hold."""
        for token in hold.after:
            place = (key, token.stream)
            known = self._known.pop(place, None)
            self._known[place] = known if known is not None and known[0] > token.version else (token.version, version)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def covers(self, key: str, version: int, hold: Hold) -> bool:
        """Whether a value of `key` at `version` surely shows every token."""
        return all(self._covers(key, version, token.stream, token.version) for token in hold.after)

    def _covers(self, key: str, version: int, stream: StreamId, wanted: Version) -> bool:
        known = self._known.get((key, stream))
        if known is None or known[0] < wanted or version < known[1]:
            return False
        self._known.move_to_end((key, stream))
        return True
