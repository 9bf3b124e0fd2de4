"""The reference adapter of the event store: for unit and contract tests, never in a running role."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version
from events.snapshots import Snapshot, to_item
from events.store import Appended, Found, Key


class MemoryStore:
    """A dictionary of streams; an append is conditional on its key alone, as in DynamoDB."""

    def __init__(self) -> None:
        self._streams: dict[StreamId, dict[Version, Commit]] = {}
        self.snapshots: dict[StreamId, Mapping[str, Any]] = {}

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        commits = self._streams.get(stream, {})
        return [commits[first] for first in sorted(commits) if first > after]

    async def read(self, keys: Sequence[Key], snapshots_of: Sequence[StreamId] = ()) -> Found:
        found = {(s, v): self._streams[s][v] for s, v in keys if v in self._streams.get(s, {})}
        return Found(found, {s: self.snapshots[s] for s in snapshots_of if s in self.snapshots})

    async def last_version(self, stream: StreamId) -> Version:
        commits = self._streams.get(stream)
        return commits[max(commits)].last if commits else EMPTY

    async def append(self, commits: Sequence[Commit]) -> list[Appended]:
        return [self._put(commit) for commit in commits]

    def _put(self, commit: Commit) -> Appended:
        stream = self._streams.setdefault(commit.stream, {})
        if commit.first in stream:
            return Appended.CONFLICT
        stream[commit.first] = commit
        return Appended.YES

    async def keep(self, snapshot: Snapshot, instead_of: Any = None) -> bool:
        item, there = to_item(snapshot), self.snapshots.get(snapshot.stream)
        if there is not None and "last_version" in there:
            last = there["last_version"]
            older = "N" in last and int(last["N"]) < snapshot.version
            if not older and (instead_of is None or last != instead_of):
                return False
        self.snapshots[snapshot.stream] = item
        return True

    async def scan(self, segment: int = 0, segments: int = 1) -> AsyncIterator[list[Commit]]:
        for number, stream in enumerate(sorted(self._streams)):
            if number % segments == segment:
                yield await self.load(stream)
