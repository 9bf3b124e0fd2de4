"""Rounds on a store with faults: what is told, what is given back, what a broken stream costs its neighbours."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec import Raw, structs

from events.deciding import confirm, decide
from events.envelope import Command, Commit
from events.history import WINDOW
from events.ids import EMPTY, StreamId, Version
from events.memory_store import MemoryStore
from events.outcome import Outcome, Status
from events.store import Appended, Found, Key
from tests.support.said import REGISTRY, create, empty, said, update
from tests.support.virtual_time import run_virtually
from workers.jobs import Asked, Job
from workers.queue import Delivery
from workers.rounds import MOST, Rounds
from workers.state_cache import StateCache

MESSAGE = Delivery("m", "r", "p0", "", 1)


class Answering(MemoryStore):
    """Gives `answers` before it works; counts what it was asked."""

    def __init__(self, *answers: Appended) -> None:
        super().__init__()
        self.answers = list(answers)
        self.appends = self.reads = self.together = 0

    async def append(self, commits: Sequence[Commit]) -> list[Appended]:
        self.appends += 1
        return [self.answers.pop(0)] * len(commits) if self.answers else await super().append(commits)

    async def load(self, stream: StreamId, after: Version = EMPTY) -> list[Commit]:
        self.reads += 1
        return await super().load(stream, after)

    async def read(self, keys: Sequence[Key], snapshots_of: Sequence[StreamId] = ()) -> Found:
        self.together += 1
        return await super().read(keys, snapshots_of)


async def decided(store: MemoryStore, commands: list[Command], cache: StateCache | None = None) -> list[Outcome | None]:
    jobs: dict[StreamId, Job] = {}
    asked = [Asked(command, MESSAGE) for command in commands]
    for each in asked:
        jobs.setdefault(each.command.stream, Job(each.command.stream)).asked.append(each)
    await Rounds(store, REGISTRY, cache or StateCache()).decide(list(jobs.values()))
    return [each.outcome for each in asked]


async def filled(store: MemoryStore, commands: list[Command]) -> None:
    history = empty(commands[0].stream)
    while commands:
        draft = decide(history, commands, REGISTRY, full=True)
        await store.append([draft.commit()])
        confirm(history, draft)
        commands = commands[len(draft.outcomes) :]


async def test_a_creation_costs_one_append_and_no_read() -> None:
    store = Answering()
    assert await decided(store, [create("1"), create("2")]) == [Outcome(Status.APPLIED, Version(1))] * 2
    assert (store.appends, store.reads) == (1, 0)


async def test_a_cached_stream_costs_no_read_either() -> None:
    store, cache = Answering(), StateCache()
    await decided(store, [create()], cache)
    await decided(store, [update(text="b")], cache)
    assert (store.appends, store.reads) == (2, 0)


async def test_a_stale_cache_costs_one_conflict() -> None:
    store, mine = Answering(), StateCache()
    await decided(store, [create()], mine)
    await decided(store, [update(text="b")])
    (outcome,) = await decided(store, [update(text="c")], mine)
    assert outcome == Outcome(Status.APPLIED, Version(3))


async def test_many_cold_streams_are_read_together_and_their_ends_are_seen() -> None:
    """Also what changes nothing is final then."""
    store = Answering()
    for ident in "123":
        await filled(store, [create(ident)])
    asked = [update("1", "b"), update("2", "a"), update("3", "c"), update("none", "d")]
    found = await decided(store, asked)
    assert [each.status for each in found if each] == [Status.APPLIED] * 3 + [Status.REJECTED]
    assert (store.together, store.reads) == (1, 0)


@pytest.mark.parametrize(
    ("commits", "together", "queries"), [(1, 1, 0), (2, 2, 0), (3, 2, 0), (4, 3, 0), (11, 3, 0), (12, 3, 1), (40, 3, 1)]
)
async def test_a_longer_stream_is_read_on_and_then_queried(commits: int, together: int, queries: int) -> None:
    store = Answering()
    history = empty(create().stream)
    for command in [create(text="t-1"), *(update(text=f"t{number}") for number in range(commits - 1))]:
        draft = decide(history, [command], REGISTRY)
        await store.append([draft.commit()])
        confirm(history, draft)
    (outcome,) = await decided(store, [update(text=f"t{commits - 2}")])  # changes nothing
    assert outcome == Outcome(Status.APPLIED, Version(commits), no_effect=True)
    assert (store.together, store.reads) == (together, queries)


async def test_commits_of_many_events_are_followed_too() -> None:
    store = Answering()
    await filled(store, [create(), *(update(text=f"t{number}") for number in range(6))])
    (outcome,) = await decided(store, [update(text="t5")])
    assert outcome == Outcome(Status.APPLIED, Version(7), no_effect=True)
    assert (store.together, store.reads) == (2, 0)


def test_refused_for_anothers_sake_alone_is_tried_again_after_a_pause() -> None:
    async def main() -> tuple[list[Outcome | None], float]:
        began = asyncio.get_running_loop().time()
        outcomes = await decided(Answering(Appended.NO, Appended.NO, Appended.NO), [create()])
        return outcomes, asyncio.get_running_loop().time() - began

    outcomes, took = run_virtually(main())
    assert outcomes == [Outcome(Status.APPLIED, Version(1))]
    assert took > 0.17  # half of 50, 100 and 200 ms, the backoff's least


def test_a_throttled_append_is_tried_again_after_a_pause_without_a_read() -> None:
    store, cache = Answering(), StateCache()

    async def main() -> tuple[list[Outcome | None], float]:
        await decided(store, [create()], cache)
        store.answers += [Appended.BUSY] * 3
        began = asyncio.get_running_loop().time()
        outcomes = await decided(store, [update(text="b")], cache)
        return outcomes, asyncio.get_running_loop().time() - began

    outcomes, took = run_virtually(main())
    assert outcomes == [Outcome(Status.APPLIED, Version(2))]
    assert (store.appends, store.reads, store.together) == (5, 0, 0)
    assert took > 0.17


def test_what_cannot_be_decided_now_is_given_back() -> None:
    store = Answering(*[Appended.UNKNOWN] * 50)
    assert run_virtually(decided(store, [create()])) == [None]
    assert store.appends <= MOST


async def test_a_broken_stream_fails_its_own_commands_only() -> None:
    store = MemoryStore()
    await filled(store, [create("1")])
    (first,) = await store.load(StreamId("comment-1"))
    await store.append([structs.replace(first, stream=StreamId("comment-2"), events=Raw(b'[{"no":"event"}]'))])
    broken, whole = await decided(store, [update("2", "b"), update("1", "b")])
    assert broken is not None
    assert (broken.status, "cannot be read" in broken.detail) == (Status.FAILED, True)
    assert whole == Outcome(Status.APPLIED, Version(2))


async def test_a_stream_of_no_domain_fails_alone() -> None:
    stranger = structs.replace(create("1"), stream=StreamId("order-1"))
    failed, fine = await decided(MemoryStore(), [stranger, create("2")])
    assert failed is not None
    assert failed.status is Status.FAILED
    assert fine == Outcome(Status.APPLIED, Version(1))


async def test_a_redriven_command_from_before_the_window_does_not_act_again() -> None:
    """Even behind a commit of its own job: the full history stays full."""
    store = MemoryStore()
    first = said("account.book", {"account_id": "1", "entries": [5]}, "first")
    old = [said("account.book", {"account_id": "1", "entries": [1]}) for _ in range(WINDOW + 5)]
    await filled(store, [said("account.open", {"account_id": "1"}, "open"), first, *old])
    long = [said("account.book", {"account_id": "1", "entries": [1] * 200, "note": "x" * 700}, redriven=True) for _ in range(2)]
    opened = said("account.open", {"account_id": "1"}, "open", redriven=True)
    redriven = structs.replace(first, redriven=True)
    outcomes = await decided(store, [*long, opened, redriven])
    assert outcomes[2:] == [Outcome(Status.APPLIED, Version(1)), Outcome(Status.APPLIED, Version(2))]
    assert len(await store.load(StreamId("account-1"), Version(WINDOW + 7))) == 2  # the long ones, one commit each
