"""The event store as everything else sees it: a port of five methods, and what an append can come to."""

from collections.abc import AsyncIterator, Sequence
from enum import Enum
from typing import Protocol

from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version


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

    async def first_commits(self, streams: Sequence[StreamId]) -> dict[StreamId, Commit]:
        """The first commit of each stream that has one, read together. Raises Retryable."""
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
