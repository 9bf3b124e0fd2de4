"""Long streams are read from their snapshots; a snapshot that does not fit its stream is noticed and changes nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from events.deciding import confirm, decide
from events.domain import Decider, Domain, Registry
from events.envelope import Command, Commit
from events.history import History
from events.ids import EMPTY, StreamId, Version
from events.memory_store import MemoryStore
from events.outcome import Outcome, Status
from events.snapshots import EVERY_EVENTS, Unusable, from_item, restore, take, to_item
from events.store import Found, Key
from runtime.metrics import SNAPSHOTS
from tests.support import ledger
from tests.support.said import COMMENTS, REGISTRY, create, empty, said, told, update
from workers.jobs import Asked, Job
from workers.queue import Delivery
from workers.rounds import Rounds
from workers.snapshotting import SnapshotWriter, snapshots_written
from workers.state_cache import StateCache

STREAM = StreamId("account-1")
MESSAGE = Delivery("m", "r", "p0", "", 1)


class Counting(MemoryStore):
    """Counts calls that read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        self.reads.append("load")
        return await super().load(stream, after)

    async def read(self, keys: Sequence[Key], snapshots_of: Sequence[StreamId] = ()) -> Found:
        self.reads.append("read")
        return await super().read(keys, snapshots_of)


def book(*cents: int, **fields: Any) -> Command:
    return said("account.book", {"account_id": "1", "entries": list(cents)}, **fields)


async def decided(store: MemoryStore, commands: list[Command], writer: SnapshotWriter | None = None) -> list[Outcome | None]:
    jobs: dict[StreamId, Job] = {}
    asked = [Asked(command, MESSAGE) for command in commands]
    for each in asked:
        jobs.setdefault(each.command.stream, Job(each.command.stream)).asked.append(each)
    await Rounds(store, REGISTRY, StateCache(), writer).decide(list(jobs.values()))
    return [each.outcome for each in asked]


async def lengthened(store: MemoryStore, commits: int, each: int, history: History | None = None) -> History:
    """An account with that many further commits of so many bookings."""
    history = history or empty(STREAM)
    commands = [said("account.open", {"account_id": "1"})] if history.version == EMPTY else []
    for command in [*commands, *(book(*[1] * each) for _ in range(commits))]:
        draft = decide(history, [command], REGISTRY)
        await store.append([draft.commit()])
        confirm(history, draft)
    return history


async def long_with_snapshot(store: MemoryStore) -> History:
    """Ends a few commits after its snapshot."""
    history = await lengthened(store, 5, EVERY_EVENTS // 4)
    async with snapshots_written(store, REGISTRY) as writer:
        writer.offer(history)
        await writer.written()
    return await lengthened(store, 3, 2, history)


async def test_a_stream_of_100_000_events_loads_in_two_reads() -> None:
    store = Counting()
    history = await lengthened(store, 250, 399)
    async with snapshots_written(store, REGISTRY) as writer:
        writer.offer(history)
        await writer.written()
    await lengthened(store, 10, 50, history)
    assert history.version > 100_000
    (outcome,) = await decided(store, [book(1)])
    assert outcome == Outcome(Status.APPLIED, Version(history.version + 1))
    assert store.reads == ["read", "load"]


async def test_a_history_from_a_snapshot_is_the_fold_of_the_stream() -> None:
    store = MemoryStore()
    history = await long_with_snapshot(store)
    snapshot = from_item(store.snapshots[STREAM])
    commits = await store.load(STREAM, Version(snapshot.first - 1))
    assert snapshot.ends_at(commits[0])
    assert told(restore(snapshot, REGISTRY).absorb(commits[1:], REGISTRY)) == told(history)
    assert told(history) == told(empty(STREAM).absorb(await store.load(STREAM), REGISTRY))


async def test_short_streams_and_creations_write_none() -> None:
    store = MemoryStore()
    async with snapshots_written(store, REGISTRY) as writer:
        await decided(store, [create(), update(text="b")], writer)
        await writer.written()
    assert store.snapshots == {}


async def test_a_worker_that_met_a_long_stream_leaves_a_snapshot() -> None:
    store = MemoryStore()
    await lengthened(store, 5, EVERY_EVENTS // 4)
    async with snapshots_written(store, REGISTRY) as writer:
        await decided(store, [book(1)], writer)
        await writer.written()
    assert from_item(store.snapshots[STREAM]).version == 5 * (EVERY_EVENTS // 4) + 2


def _body(**changes: Any) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    def change(item: Mapping[str, Any]) -> Mapping[str, Any]:
        body = msgspec.json.decode(item["body"]["S"]) | changes
        return {**item, "last_version": {"N": str(body["version"])}, "body": {"S": msgspec.json.encode(body).decode()}}

    return change


WRONG: dict[str, tuple[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]] = {
    "not JSON": ("unreadable", lambda item: {**item, "body": {"S": "{"}}),
    "another stream's": ("unreadable", _body(stream="account-2")),
    "a state of another type": ("unreadable", _body(state={"owner": 7})),
    "nothing in it": ("unreadable", lambda item: {"stream_id": item["stream_id"]}),
    "of a newer version": ("newer", lambda item: {**item, "format": {"N": "2"}}),
    "of other rules": ("other_shape", _body(shape="0123456789abcdef")),
    "ahead of the stream": ("wrong", _body(first=9_000, version=9_001)),
    "of another commit": ("wrong", _body(previous=3)),
    "of another last event": ("wrong", _body(at=1)),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_snapshot_that_does_not_fit_is_counted_and_ignored(kind: str) -> None:
    reason, change = WRONG[kind]
    store = MemoryStore()
    history = await long_with_snapshot(store)
    store.snapshots[STREAM] = change(store.snapshots[STREAM])
    counter = SNAPSHOTS.labels(reason)
    before = counter._value.get()
    cents = history.state.cents
    assert await decided(store, [book(-cents - 1), book(-cents)]) == [
        Outcome(Status.REJECTED, history.version, "overdrawn", "an account is never below zero"),
        Outcome(Status.APPLIED, Version(history.version + 1)),
    ]
    assert counter._value.get() == before + 1


async def test_a_wrong_snapshot_ahead_of_its_stream_is_replaced() -> None:
    store = MemoryStore()
    await long_with_snapshot(store)
    store.snapshots[STREAM] = _body(first=9_000, version=9_001)(store.snapshots[STREAM])
    async with snapshots_written(store, REGISTRY) as writer:
        await decided(store, [book(1)], writer)
        await writer.written()
    assert from_item(store.snapshots[STREAM]).version == await store.last_version(STREAM)


async def test_a_redriven_command_reads_the_whole_stream() -> None:
    store = Counting()
    first = book(5, key="first")
    history = await lengthened(store, 0, 0)
    draft = decide(history, [first], REGISTRY)
    await store.append([draft.commit()])
    confirm(history, draft)
    for _ in range(1030):
        await lengthened(store, 1, 1, history)
    async with snapshots_written(store, REGISTRY) as writer:
        writer.offer(history)
        await writer.written()
    (outcome,) = await decided(store, [msgspec.structs.replace(first, redriven=True)])
    assert outcome == Outcome(Status.APPLIED, Version(2))
    assert store.reads == ["read", "load", "load"]


def test_what_is_too_large_or_does_not_read_back_is_not_kept() -> None:
    history = empty(STREAM)
    confirm(history, decide(history, [said("account.open", {"account_id": "1"})], REGISTRY))
    history.state = ledger.Account("x" * 410_000, "EUR")
    snapshot = take(history, REGISTRY)
    assert snapshot is not None
    with pytest.raises(Unusable, match="too_large"):
        to_item(snapshot)
    history.state = ("not", "an account")
    with pytest.raises(Unusable, match="unfaithful"):
        take(history, REGISTRY)


def test_other_rules_have_another_shape_and_no_type_none() -> None:
    old = COMMENTS.decider
    shapes = [
        Registry([Domain("comment", COMMENTS.commands, COMMENTS.events, decider)]).shape_of("comment-1")
        for decider in (old, Decider(None, old.decide, old.evolve, old.state, 2), Decider(None, old.decide, old.evolve))
    ]
    assert shapes[0] != shapes[1]
    assert shapes[2] == ""


async def test_many_cold_streams_are_read_together() -> None:
    """One commit or three: at most two calls of the store for all of them."""
    store = Counting()
    await decided(store, [create(f"{n}") for n in range(60)])
    await decided(store, [update(f"{n}", "b") for n in range(30)])
    await decided(store, [update(f"{n}", "c") for n in range(30)])
    store.reads.clear()
    outcomes = await decided(store, [update(f"{n}", "d") for n in range(60)])
    assert [each.version for each in outcomes if each] == [4] * 30 + [2] * 30
    assert store.reads == ["read", "read"]
