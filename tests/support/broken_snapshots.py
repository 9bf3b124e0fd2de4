"""The rules about snapshots, each taken out: for the model, which must find that it is needed."""

from collections.abc import Awaitable
from typing import Any

import pytest

from events import snapshots
from events.envelope import Commit
from events.history import History
from events.ids import EMPTY
from events.snapshots import Snapshot
from workers import rounds
from workers.jobs import Job
from workers.rounds import Rounds

Patch = pytest.MonkeyPatch


def a_snapshot_is_borne_out_by_the_store(monkeypatch: Patch) -> None:
    monkeypatch.setattr(rounds, "bear_out", lambda *_: None)


def a_snapshot_knows_the_ids(monkeypatch: Patch) -> None:
    restore = snapshots.restore

    def without_ids(snapshot: Snapshot, registry: Any) -> History:
        history = restore(snapshot, registry)
        history.seen.clear()
        return history

    monkeypatch.setattr(rounds, "restore", without_ids)


def a_snapshot_is_no_head(monkeypatch: Patch) -> None:
    """What came after it is read."""
    from_snapshot = Rounds._from_snapshot

    async def no_more(self: Rounds, job: Job, item: Any) -> None:
        load = self._store.load
        self._store.load = lambda stream, after=EMPTY: first_of(load(stream, after))  # type: ignore[method-assign]
        try:
            await from_snapshot(self, job, item)
        finally:
            self._store.load = load  # type: ignore[method-assign]

    async def first_of(commits: Awaitable[list[Commit]]) -> list[Commit]:
        return (await commits)[:1]

    monkeypatch.setattr(Rounds, "_from_snapshot", no_more)
