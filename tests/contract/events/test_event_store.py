"""The event store's port: every adapter, and every way to append that this backend has, keeps the same promises."""

import asyncio
from secrets import token_hex

from msgspec import Raw, structs

from events.envelope import ENCODER, Commit, Settled
from events.ids import EMPTY, CommandId, Fingerprint, StreamId, Version
from events.snapshots import Snapshot, from_item
from events.store import Appended, EventStore
from runtime.times import Micros

YES, CONFLICT = Appended.YES, Appended.CONFLICT


def fresh() -> StreamId:
    return StreamId(f"comment-{token_hex(8)}")


def commit(stream: StreamId, first: int = 1, last: int = 0, previous: int = 0, body: str = "héllo 😀 \x00 \uffff") -> Commit:
    return Commit(stream, Version(first), Version(last or first), Version(previous), Raw(ENCODER.encode([{"text": body}])))


def told(commits: list[Commit]) -> list[tuple[object, ...]]:
    return [(each.stream, each.first, each.last, each.previous, bytes(each.events), each.settled) for each in commits]


async def test_what_was_appended_is_loaded_in_order(store: EventStore) -> None:
    stream = fresh()
    commits = [commit(stream, 1, 3), commit(stream, 4, 9, 1), commit(stream, 10, 10, 4)]
    for each in commits:
        assert await store.append([each]) == [YES]
    assert told(await store.load(stream)) == told(commits)
    assert told(await store.load(stream, Version(1))) == told(commits[1:])
    assert told(await store.load(stream, Version(3))) == told(commits[1:])
    assert await store.load(stream, Version(10)) == []
    assert await store.last_version(stream) == 10


async def test_a_stream_nobody_wrote_is_empty(store: EventStore) -> None:
    assert await store.load(fresh()) == []
    assert await store.last_version(fresh()) == EMPTY
    assert (await store.read([(fresh(), Version(1))])).commits == {}
    assert (await store.read([])).commits == {}
    assert await store.append([]) == []


async def test_the_slower_of_two_writers_is_told_of_the_conflict_and_changes_nothing(store: EventStore) -> None:
    stream = fresh()
    assert await store.append([commit(stream, body="first")]) == [YES]
    assert await store.append([commit(stream, body="second")]) == [CONFLICT]
    assert told(await store.load(stream)) == told([commit(stream, body="first")])


async def test_the_same_commit_twice_is_a_conflict_too(store: EventStore) -> None:
    """So that a retry of a lost answer never passes for a first success."""
    one = commit(fresh())
    assert [await store.append([one]), await store.append([one])] == [[YES], [CONFLICT]]


async def test_of_many_writers_at_once_one_wins(store: EventStore) -> None:
    stream = fresh()
    rivals = [commit(stream, body=f"{n}") for n in range(6)]
    answers = [answer for (answer,) in await asyncio.gather(*(store.append([each]) for each in rivals))]
    stored = told(await store.load(stream))
    assert len(stored) == 1
    assert answers.count(YES) <= 1  # the winner's answer may be unknown where rivals' transactions met
    assert all(answer is not YES or told([each]) == stored for each, answer in zip(rivals, answers, strict=True))


async def test_a_conflict_never_takes_its_neighbours_along_unsaid(store: EventStore) -> None:
    """One call or several: whatever says yes is there, whatever says no or conflict is not."""
    taken, free = fresh(), [fresh() for _ in range(5)]
    await store.append([commit(taken, body="first")])
    asked = [commit(free[0]), commit(taken, body="second"), *(commit(each) for each in free[1:])]
    answers = await store.append(asked)
    assert answers[1] is CONFLICT
    assert Appended.UNKNOWN not in answers
    for each, answer in zip(asked, answers, strict=True):
        there = told(await store.load(each.stream)) == told([each])
        assert there is (answer is YES)
    again = [each for each, answer in zip(asked, answers, strict=True) if answer is Appended.NO]
    assert await store.append(again) == [YES] * len(again)


async def test_more_commits_than_a_call_takes(store: EventStore) -> None:
    asked = [commit(fresh()) for _ in range(130)]
    assert await store.append(asked) == [YES] * 130
    found = (await store.read([(each.stream, each.first) for each in asked])).commits
    assert {place: told([each]) for place, each in found.items()} == {(each.stream, each.first): told([each]) for each in asked}


async def test_commits_are_found_where_they_begin_and_nowhere_else(store: EventStore) -> None:
    one, two = fresh(), fresh()
    await store.append([commit(one)])
    await store.append([commit(one, 2, 3, 1)])
    found = (await store.read([(stream, Version(version)) for stream in (one, two) for version in (1, 2, 3, 4)])).commits
    assert found.keys() == {(one, 1), (one, 2)}
    assert told(list(found.values())) in (told([commit(one), commit(one, 2, 3, 1)]), told([commit(one, 2, 3, 1), commit(one)]))


async def test_settled_commands_are_kept(store: EventStore) -> None:
    settled = (
        Settled(CommandId("k"), "ann", Fingerprint("f"), Version(0), "comment_not_found", "détail"),
        Settled(CommandId("l"), "bob", Fingerprint("g"), Version(0)),
    )
    one = structs.replace(commit(fresh()), settled=settled)
    await store.append([one])
    assert (await store.load(one.stream))[0].settled == settled


async def test_a_full_commit_fits(store: EventStore) -> None:
    detail = "d" * 400
    settled = tuple(Settled(CommandId(f"k{n}"), "ann", Fingerprint("f"), Version(0), "r", detail) for n in range(330))
    assert 155_000 < len(ENCODER.encode(settled)) <= 160 * 1024
    one = structs.replace(commit(fresh(), body="x" * 204_000), settled=settled)
    assert await store.append([one]) == [YES]
    assert told(await store.load(one.stream)) == told([one])


async def test_a_long_stream_is_loaded_whole(store: EventStore) -> None:
    """DynamoDB answers a query in pages of a megabyte."""
    stream = fresh()
    for number in range(1, 9):
        assert await store.append([commit(stream, number, number, number - 1, "x" * 180_000)]) == [YES]
    assert [each.first for each in await store.load(stream)] == list(range(1, 9))
    assert await store.last_version(stream) == 8


async def test_a_scan_sees_every_commit_once_whatever_the_segments(store: EventStore) -> None:
    asked = [commit(fresh()) for _ in range(12)]
    await store.append(asked)
    for segments in (1, 3):
        seen = [each.stream for s in range(segments) async for page in store.scan(s, segments) for each in page]
        assert [seen.count(each.stream) for each in asked] == [1] * 12


def snapshot_of(one: Commit, version: int) -> Snapshot:
    return Snapshot(one.stream, "shape", Version(1), Version(version), Version(0), Micros(1), Raw(b"{}"), [])


async def test_a_snapshot_is_put_only_over_an_older_or_a_wrong_one(store: EventStore) -> None:
    one = commit(fresh())
    assert await store.keep(snapshot_of(one, 7))
    assert not await store.keep(snapshot_of(one, 7))
    assert not await store.keep(snapshot_of(one, 6))
    assert await store.keep(snapshot_of(one, 8))
    assert not await store.keep(snapshot_of(one, 5), {"N": "7"})
    assert await store.keep(snapshot_of(one, 5), {"N": "8"})
    found = await store.read([(one.stream, Version(1))], [one.stream, fresh()])
    assert found.commits == {}
    assert from_item(found.snapshots[one.stream]).version == 5
