"""An event store that misbehaves by a script, as a store behind a network may: late, lost and refused answers, slow turns."""

import asyncio
from collections.abc import Callable, Sequence

from events.envelope import Commit
from events.ids import EMPTY, StreamId, Version
from events.memory_store import MemoryStore
from events.store import Appended, Found, Key
from runtime.errors import Retryable

APPENDS = ("lost", "vanished", "late", "no", "false conflict")
READS = ("unreadable",)


class StoreAway(Retryable):
    """Scripted."""


class ScriptedStore(MemoryStore):
    """`next_fault(kind)` says what befalls the next call ("" : nothing); `turns()` how often it lets others run before."""

    def __init__(self, next_fault: Callable[[str], str], turns: Callable[[], int]) -> None:
        super().__init__()
        self._next_fault, self._turns = next_fault, turns
        self._under_way: list[Commit] = []

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        await self._others("read")
        return await super().load(stream, after)

    async def read(self, keys: Sequence[Key], snapshots_of: Sequence[StreamId] = ()) -> Found:
        await self._others("read")
        return await super().read(keys, snapshots_of)

    async def append(self, commits: Sequence[Commit]) -> list[Appended]:
        await self._others("")
        answers = [self._one(commit, self._next_fault("append")) for commit in commits]
        await self._others("")
        return answers

    async def stored(self, stream: StreamId) -> list[Commit]:
        """The truth, without faults."""
        return await super().load(stream)

    def land(self) -> None:
        """What was sent and not answered arrives after all."""
        for commit in self._under_way:
            self._put(commit)
        self._under_way.clear()

    async def _others(self, kind: str) -> None:
        fault = self._next_fault(kind) if kind else ""
        for _ in range(self._turns()):
            await asyncio.sleep(0)
        self.land()
        if fault:
            raise StoreAway(fault)

    def _one(self, commit: Commit, fault: str) -> Appended:
        if fault == "late":
            self._under_way.append(commit)
        elif fault in ("", "lost"):
            answer = self._put(commit)
            return Appended.UNKNOWN if fault else answer
        return {"no": Appended.NO, "false conflict": Appended.CONFLICT}.get(fault, Appended.UNKNOWN)
