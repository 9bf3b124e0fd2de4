"""The event store as everything else sees it: a port of five methods, and what an append can come to."""

from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Protocol

from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version

Place = tuple[StreamId, Version]
"""Where a commit begins: its key."""


class Appended(Enum):
    """What one append came to; a value, never an exception."""

    YES = "yes"
    """Durable, and the base it was decided on was the stream's head."""
    CONFLICT = "conflict"
    """The key exists: somebody, perhaps this very command earlier, was faster. Reload and decide again."""
    UNKNOWN = "unknown"
    """No answer, throttled, or an error of the store's own: it may or may not be there. Reload and decide again."""
    NO = "no"
    """Surely not written (its transaction was cancelled for another's sake): the same append may be tried again."""


class EventStore(Protocol):
    """Commits by stream. All reads are consistent: they see every append confirmed before they began."""

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        """Commits whose first version is above `after`, in order. Raises Retryable."""
        ...

    async def commits_at(self, places: Sequence[Place]) -> dict[Place, Commit]:
        """The commits that begin there, read together; a place at which none begins is left out. Raises Retryable.

        Commits follow one another without a hole: where one ends and none begins behind it, the stream ended at some moment since
        the call began.
        """
        ...

    async def last_version(self, stream: StreamId) -> Version:
        """0 for an unknown stream. Raises Retryable."""
        ...

    async def append(self, commits: Sequence[Commit]) -> list[Appended]:
        """One answer a commit, in order. No two of one stream in one call: the caller sees to it. Never raises Retryable."""
        ...

    def scan(self, segment: int = 0, segments: int = 1) -> AsyncIterator[list[Commit]]:
        """Every commit of the store, in no order across streams; pages of a bounded size. For audits and rebuilds."""
        ...
