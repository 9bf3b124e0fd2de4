"""Whatever becomes of commits on their way, PostgreSQL comes to the same, byte for byte in its canonical hash, as in order.

All commits of a thousand streams: doubled, shuffled, some lost, some as stubs, cut into messages and batches anyhow, and taken by eight
lanes of two projectors at once, on connections of their own. `SEED=n` repeats a run; the seed is printed.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from secrets import randbelow
from typing import NamedTuple

import pytest
from msgspec import Struct
from redis.asyncio import Redis
from sqlalchemy import text

from docs.examples import comments_per_author
from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.domain import Registry
from events.envelope import Commit
from events.ids import StreamId, partition_of
from events.memory_store import MemoryStore
from events.parcel import Stub
from readmodel.database import PROJECTING, Database, open_database
from readmodel.domains import all_projections
from readmodel.hashing import generation_digest, overall
from readmodel.parking import count_parked, list_parked
from readmodel.projecting import Projecting
from runtime.metrics import REGISTRY as METRICS
from runtime.settings import Settings
from tests.unit.readmodel.commits import REGISTRY as COMMENTS_ALONE
from tests.unit.readmodel.commits import chain, comment, commit, delivery, stored
from workers.consumer import Delivery
from workers.projector_rds import RdsProjector

REGISTRY = Registry([comments_per_author.DOMAIN])
STREAMS, PICTURES, LANES = 1_000, 40, 8
TABLES = "comments, pictures, comments_per_author, positions"


class Process(NamedTuple):
    """What a process of the role has for itself."""

    database: Database
    projector: RdsProjector


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("SEED", randbelow(10**6)))
    print(f"SEED={seed}")  # noqa: T201 - shown with a failure
    return random.Random(seed)


@pytest.fixture
async def projectors(read_settings: Settings, database: Database, client: Redis, store: MemoryStore) -> AsyncIterator[list[Process]]:
    """Two, as two processes would have them."""
    async with database.engine.begin() as connection:
        await connection.run_sync(comments_per_author.AUTHORS.metadata.create_all)
    async with AsyncExitStack() as opened:
        databases = [database, await opened.enter_async_context(open_database(read_settings, PROJECTING))]
        yield [Process(each, RdsProjector(Projecting(each, REGISTRY, store), client, read_settings.stack)) for each in databases]


def lives(dice: random.Random) -> dict[StreamId, list[Commit]]:
    """A thousand comments, one to ten events each, one to three a commit."""
    found = {}
    for number in range(STREAMS):
        stream = comment(number)
        events: list[Struct] = [CommentCreated(f"picture-{dice.randrange(PICTURES)}", "ann", f"first of {stream}")]
        events += [CommentUpdated(f"text {n} of {stream}") for n in range(dice.randrange(9))]
        events += [CommentDeleted()] if dice.random() < 0.3 else []
        found[stream] = chain(stream, events, each=dice.randint(1, 3), registry=REGISTRY)
    return found


def mangled(dice: random.Random, commits: Sequence[Commit]) -> list[list[Delivery]]:
    """What comes instead: a tenth is lost (never the last of a stream), a tenth are stubs, the rest comes twice or three times."""
    last = {each.stream: each.last for each in commits}
    sent: list[Commit | Stub] = []
    for each in commits:
        if each.last != last[each.stream] and dice.random() < 0.1:
            continue
        as_stub = dice.random() < 0.1
        sent += [Stub(each.stream, each.first, each.last) if as_stub else each] * dice.choice((2, 2, 3))
    dice.shuffle(sent)
    messages: list[Delivery] = []
    while sent:
        few, sent = sent[: (cut := dice.randint(1, 60))], sent[cut:]
        stubs = [each for each in few if isinstance(each, Stub)]
        messages.append(delivery(*(each for each in few if isinstance(each, Commit)), stubs=stubs, number=len(messages)))
    batches = []
    while messages:
        batches.append(messages[: (cut := dice.randint(1, 10))])
        messages = messages[cut:]
    return batches


async def by_lanes(projectors: Sequence[Process], batches: list[list[Delivery]]) -> None:
    async def lane(process: Process) -> None:
        while batches:
            batch = batches.pop()
            assert (await process.projector.handle(batch)).done == batch

    async with asyncio.TaskGroup() as tasks:
        for number in range(LANES):
            tasks.create_task(lane(projectors[number % len(projectors)]))


async def digest(database: Database) -> str:
    return overall(await generation_digest(database, all_projections(REGISTRY)))


async def deadlocks(databases: Sequence[Database]) -> int:
    """Of this test's own database, since it was made. A backend may tell of its own only when it ends, and so all of them do."""
    for each in databases:
        await each.engine.dispose()
    async with databases[0].engine.connect() as connection:
        busy = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        while (await connection.execute(busy)).scalar_one():  # noqa: ASYNC110 - a backend tells nobody when it ends
            await asyncio.sleep(0.01)
        found = await connection.execute(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
        return int(found.scalar_one())


def conflicts() -> float:
    return METRICS.get_sample_value("headrace_database_conflicts_total") or 0.0


async def test_a_thousand_streams_shuffled_and_doubled(
    projectors: list[Process], database: Database, store: MemoryStore, dice: random.Random
) -> None:
    life = lives(dice)
    commits = await stored(store, *(each for of_one in life.values() for each in of_one))
    await Projecting(database, REGISTRY, store).project(commits)
    in_order = await digest(database)
    async with database.engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {TABLES}"))
    assert await digest(database) != in_order

    await by_lanes(projectors, mangled(dice, commits))
    assert await digest(database) == in_order
    assert await count_parked(database.engine) == 0
    await by_lanes(projectors, mangled(dice, commits))  # all of it once more changes nothing
    assert await digest(database) == in_order

    counts = Counter[str]()
    for of_one in life.values():
        events = [REGISTRY.read(each.name, each.data) for commit in of_one for each in commit.recorded()]
        created = events[0]
        assert isinstance(created, CommentCreated)
        counts[created.picture_id] += not isinstance(events[-1], CommentDeleted)
    async with database.engine.connect() as connection:
        found = await connection.execute(text("SELECT picture_id, comment_count FROM pictures"))
        assert {row.picture_id: row.comment_count for row in found} == dict(counts)
        authors = await connection.execute(text("SELECT author, comments FROM comments_per_author"))
        assert [tuple(row) for row in authors] == [("ann", counts.total())]


async def test_eight_writers_of_the_same_pictures_never_wait_in_a_circle(
    projectors: list[Process], database: Database, store: MemoryStore, dice: random.Random
) -> None:
    """Each with streams of its own, as message groups are, so that no advisory lock is in anybody's way; rows of sums are everybody's."""
    mine: list[list[Commit]] = [[] for _ in range(LANES)]
    for stream, of_one in lives(dice).items():
        mine[partition_of(stream, LANES)] += of_one
    batches = [[each[start : start + 40] for start in range(0, len(each), 40)] for each in mine]
    # Without the other projection, whose one row of one author would be a lock for all.
    projectings = [Projecting(each.database, COMMENTS_ALONE, store) for each in projectors]
    began = asyncio.Barrier(LANES)
    before = conflicts()

    async def writer(number: int) -> None:
        await began.wait()
        for batch in batches[number]:
            await projectings[number % 2].project(batch)

    async with asyncio.TaskGroup() as tasks:
        for number in range(LANES):
            tasks.create_task(writer(number))
    assert (conflicts() - before, await deadlocks([each.database for each in projectors])) == (0, 0)
    async with database.engine.connect() as connection:
        revisions = await connection.execute(text("SELECT sum(revision) FROM pictures"))
        assert revisions.scalar_one() == sum(each.last - each.first + 1 for of_one in mine for each in of_one)


async def test_poison_in_the_middle_of_a_batch_is_cut_out(
    projectors: list[Process], database: Database, store: MemoryStore, dice: random.Random
) -> None:
    """Data that PostgreSQL refuses is found by halving: its streams are parked, all others come to where they would have come."""
    life = lives(dice)
    poisoned = sorted(dice.sample(sorted(life), 3))
    for stream in poisoned:
        cut = dice.randrange(len(life[stream]))
        before = life[stream][:cut]
        head, previous = (before[-1].last, before[-1].first) if before else (0, 0)
        event = CommentUpdated("nul \0") if before else CommentCreated("picture-0", "ann", "nul \0")
        life[stream] = [*before, commit(stream, head + 1, previous, event, registry=REGISTRY)]
    commits = await stored(store, *(each for of_one in life.values() for each in of_one))
    batch = commits[:]
    dice.shuffle(batch)
    messages = [delivery(*batch[start : start + 800], number=start) for start in range(0, len(batch), 800)]
    assert (await projectors[0].projector.handle(messages)).done == messages

    parks = await list_parked(database.engine)
    assert {(each.stream, each.reason) for each in parks if each.projector == "comments"} == {(s, "unstorable") for s in poisoned}
    assert {each.projector for each in parks} <= {"comments"}  # of the other projection nothing is refused
    assert [each.first_version for each in parks] == [life[stream][-1].first for stream in poisoned]
    async with database.engine.connect() as connection:
        found = await connection.execute(text("SELECT stream, version FROM comments"))
        heads = {row.stream: row.version for row in found}
    expected = {stream: of_one[-1].last for stream, of_one in life.items() if stream not in poisoned}
    assert expected.items() <= heads.items()
    for stream in poisoned:
        assert heads.get(stream, 0) == life[stream][-1].first - 1
