"""The reference adapter of the event store: for unit and contract tests, never in a running role."""

from collections.abc import AsyncIterator, Sequence

from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version
from events.store import Appended, Place


class MemoryStore:
    """A dictionary of streams; an append is conditional on its key alone, as in DynamoDB."""

    def __init__(self) -> None:
        self._streams: dict[StreamId, dict[Version, Commit]] = {}

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        commits = self._streams.get(stream, {})
        return [commits[first] for first in sorted(commits) if first > after]

    async def commits_at(self, places: Sequence[Place]) -> dict[Place, Commit]:
        return {(s, first): self._streams[s][first] for s, first in places if first in self._streams.get(s, {})}

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

    async def scan(self, segment: int = 0, segments: int = 1) -> AsyncIterator[list[Commit]]:
        for number, stream in enumerate(sorted(self._streams)):
            if number % segments == segment:
                yield await self.load(stream)
