"""The event store as everything else sees it: a port of six methods, and what an append can come to."""

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version
from events.snapshots import Snapshot

Key = tuple[StreamId, Version]
"""Of a commit: its stream and its first version."""


class Found(NamedTuple):
    """What was there of what was asked for."""

    commits: dict[Key, Commit]
    snapshots: dict[StreamId, Mapping[str, Any]]
    """Items as they lie there: `events.snapshots` reads them, or says why not."""


class Appended(Enum):
    """What one append came to; a value, never an exception."""

    YES = "yes"
    """Durable, and the base it was decided on was the stream's head."""
    CONFLICT = "conflict"
    """The key exists: somebody, perhaps this very command earlier, was faster. Reload and decide again."""
    UNKNOWN = "unknown"
    """No answer, or an error of the store's own: it may or may not be there. Reload and decide again."""
    BUSY = "busy"
    """Throttled, and so not written. The same append may be tried again after a pause: were it there after all, it would conflict."""
    NO = "no"
    """Surely not written (its transaction was cancelled for another's sake): the same append may be tried again."""


class EventStore(Protocol):
    """Commits by stream. All reads of commits are consistent: they see every append confirmed before they began."""

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        """Commits whose first version is above `after`, in order. Raises Retryable."""
        ...

    async def read(self, keys: Sequence[Key], snapshots_of: Sequence[StreamId] = ()) -> Found:
        """Commits by their keys and snapshots by their streams, many a call; no key twice. Raises Retryable.

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

    async def keep(self, snapshot: Snapshot, instead_of: Any = None) -> bool:
        """Put a snapshot over an older one, or over an unusable one whose `last_version` is `instead_of`. False: a newer is there.

        Raises Retryable, or Unusable when it is too large.
        """
        ...

    def scan(self, segment: int = 0, segments: int = 1) -> AsyncIterator[list[Commit]]:
        """Every commit of the store, in no order across streams; pages of a bounded size. For audits and rebuilds."""
        ...
