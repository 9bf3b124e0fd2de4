"""A generation built from pages is the one that projectors make of the same commits, in whatever order the pages come."""

import random
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import text

from docs.examples import comments_per_author
from events.comments.events import CommentUpdated
from events.domain import Registry
from events.envelope import Commit
from events.ids import StreamId
from events.memory_store import MemoryStore
from events.scanning import Budget, Page
from readmodel.control import READ_MODEL
from readmodel.database import REBUILDING, Database, open_database
from readmodel.domains import all_projections
from readmodel.errors import DatabaseUnavailable
from readmodel.feeding import read_fed
from readmodel.generations import feed, new_generation
from readmodel.hashing import digests
from readmodel.projecting import Projecting
from readmodel.rebuilding.building import Building, Built
from readmodel.rebuilding.comparing import Pair, apart, behind, compare, totals
from readmodel.rebuilding.folding import Batch, Folder
from readmodel.rebuilding.loading import Loader
from readmodel.schema import migrate
from runtime.settings import Settings
from tests.support import ledger
from tests.unit.readmodel.commits import broken, chain, comment, commit, history, stored

DOMAINS = Registry([comments_per_author.DOMAIN, ledger.DOMAIN])


class Given:
    """Pages as they were given, dealt to the segments by turns."""

    def __init__(self, pages: Sequence[Sequence[Commit]]) -> None:
        self._pages = pages

    async def pages(self, segment: int, segments: int) -> AsyncIterator[Page]:
        for page in self._pages[segment::segments]:
            yield Page(list(page), 1.0)

    async def about(self) -> int:
        return 0


@pytest.fixture
async def ground(read_settings: Settings) -> AsyncIterator[Database]:
    """Generation 1, with the tables of a second projection."""
    await migrate(read_settings, DOMAINS)
    async with open_database(read_settings, REBUILDING) as database:
        yield database


async def built(first: Database, store: MemoryStore, pages: Sequence[Sequence[Commit]], segments: int = 1) -> tuple[int, Built]:
    generation = await new_generation(first.engine, READ_MODEL, DOMAINS)
    database = first.at(generation)
    building = Building(Folder(DOMAINS), Loader(database, DOMAINS), Projecting(database, DOMAINS, store, alone=True), Budget(None))
    await building.scan(Given(pages), segments)
    return generation, building.built


async def same(database: Database, pair: Pair) -> bool:
    async with database.engine.connect() as connection:
        projections = all_projections(DOMAINS)
        return await digests(connection, projections, pair.old) == await digests(connection, projections, pair.new)


LIVES = [history(comment(number), f"p{number % 5}", updates=number % 4, deleted=number % 3 == 0) for number in range(60)]
ACCOUNT = StreamId("account-1")
"""Of a domain without projections: its position is kept all the same."""
BOOKED = chain(ACCOUNT, [ledger.Opened("ann", "EUR"), ledger.Booked(7, "")], registry=DOMAINS)
COMMITS = [*BOOKED, *(each for life in LIVES for each in life)]


@pytest.mark.parametrize("order", ["in order", "pages shuffled", "all shuffled", "twice"])
async def test_in_whatever_order_they_come(ground: Database, store: MemoryStore, order: str) -> None:
    await stored(store, *COMMITS)
    await Projecting(ground, DOMAINS, store).project(COMMITS)
    commits = list(COMMITS)
    if order == "all shuffled":
        random.Random(7).shuffle(commits)
    pages = [commits[start : start + 13] for start in range(0, len(commits), 13)]
    if order == "pages shuffled":
        random.Random(7).shuffle(pages)
    if order == "twice":
        pages += pages
    generation, done = await built(ground, store, pages, segments=3)
    assert await same(ground, Pair(1, generation))
    assert done.odd > 0  # three segments cut streams in any case
    found = await compare(ground.engine, DOMAINS, Pair(1, generation))
    assert (found.differences, found.only_new, found.tables["comments"].rows) == ([], [], 60)


async def test_one_segment_in_order_needs_no_second_look(ground: Database, store: MemoryStore) -> None:
    await Projecting(ground, DOMAINS, store).project(COMMITS)
    generation, done = await built(ground, store, [COMMITS[start : start + 13] for start in range(0, len(COMMITS), 13)])
    assert await same(ground, Pair(1, generation))
    assert (done.odd, done.streams, done.events, done.commits) == (0, 61, len(COMMITS), len(COMMITS))
    assert await totals(ground.engine, DOMAINS, generation) == (61, len(COMMITS))


class Shaky(Loader):
    """PostgreSQL goes away, first before a batch is written and then with the answer to its commit."""

    writes = 0

    async def write(self, batch: Batch) -> None:
        self.writes += 1
        if self.writes == 1:
            raise DatabaseUnavailable("away")
        await super().write(batch)
        if self.writes == 2:
            raise DatabaseUnavailable("away with the answer")


async def test_away_for_a_moment_nothing_is_lost_and_nothing_counted_twice(ground: Database, store: MemoryStore) -> None:
    await stored(store, *COMMITS)
    await Projecting(ground, DOMAINS, store).project(COMMITS)
    generation = await new_generation(ground.engine, READ_MODEL, DOMAINS)
    database = ground.at(generation)
    loader = Shaky(database, DOMAINS)
    building = Building(Folder(DOMAINS), loader, Projecting(database, DOMAINS, store, alone=True), Budget(None))
    await building.scan(Given([COMMITS]), 1)
    assert loader.writes == 3
    assert await same(ground, Pair(1, generation))


async def test_poison_is_parked_there_as_a_projector_would(ground: Database, store: MemoryStore) -> None:
    poison = [
        *history(comment("nul")), commit(comment("nul"), 2, 1, CommentUpdated("nul \0")),
        *history(comment("unread")), broken(comment("unread"), 2, 1, "[1]"),
        *history(comment("hole")), commit(comment("hole"), 3, 2, CommentUpdated("after a hole")),
        commit(comment("orphan"), 1, 0, CommentUpdated("before its creation")),
    ]  # fmt: skip
    everything = sorted([*COMMITS, *poison], key=lambda each: (each.stream, each.first))
    await stored(store, *everything)
    await Projecting(ground, DOMAINS, store).project(everything)
    generation, done = await built(ground, store, [everything])
    assert done.odd > 0
    assert await same(ground, Pair(1, generation))
    parked = "SELECT projector, stream, reason, first_version FROM headrace.parked WHERE generation = :g ORDER BY 1, 2"
    async with ground.engine.connect() as connection:
        old, new = [list((await connection.execute(text(parked), {"g": each})).all()) for each in (1, generation)]
    assert old == new
    assert len(new) == 6  # of eight: without texts, NUL and a missing creation are no fault
    assert (await compare(ground.engine, DOMAINS, Pair(1, generation))).differences == []


async def test_what_is_behind_is_found_and_what_differs_is_named(ground: Database, store: MemoryStore) -> None:
    await stored(store, *COMMITS)
    await Projecting(ground, DOMAINS, store).project(COMMITS)
    known = [
        each for each in COMMITS if each.stream not in (ACCOUNT, comment(1), comment(2)) and (each.stream != comment(7) or each.first < 3)
    ]
    generation, _ = await built(ground, MemoryStore(), [known])
    pair = Pair(1, generation)
    assert await behind(ground.engine, DOMAINS, pair) == [ACCOUNT, comment(1), comment(2), comment(7)]
    assert await apart(ground.engine, DOMAINS, pair) == 7
    assert (await compare(ground.engine, DOMAINS, pair)).differences == [
        "comments: 3 streams are not at the same version: comment-1, comment-2, comment-7",
        "comments_per_author: 3 streams are not at the same version: comment-1, comment-2, comment-7",
        "rds: 1 streams are not at the same version: account-1",
    ]
    await Projecting(ground.at(generation), DOMAINS, store, alone=True).catch_up([ACCOUNT, comment(1), comment(2), comment(7)])
    assert await behind(ground.engine, DOMAINS, pair) == []
    assert await same(ground, pair)
    async with ground.engine.begin() as connection:
        await connection.execute(text("UPDATE comments SET text = 'another' WHERE comment_id IN ('5', '6')"))
        await connection.execute(text("UPDATE comments_per_author SET comments = 0"))
    assert (await compare(ground.engine, DOMAINS, pair)).differences == [
        "comments: 2 rows differ (60 rows in the old one, 60 in the new): comment-5, comment-6",
        "comments_per_author: 1 rows differ (1 rows in the old one, 1 in the new): ann",
    ]


async def test_what_the_old_one_only_heard_of_while_it_stood_still_is_not_missed(ground: Database, store: MemoryStore) -> None:
    good = history(comment("late"), updates=2)
    await stored(store, *good)
    await Projecting(ground, DOMAINS, store).project([broken(comment("late"), 1, 0, "[1]"), *good[1:]])
    generation, _ = await built(ground, store, [good[:1]])  # the rest came after the scan, and the own queue did not bring it
    pair = Pair(1, generation)
    assert await behind(ground.engine, DOMAINS, pair) == [comment("late")]
    await Projecting(ground.at(generation), DOMAINS, store, alone=True).catch_up([comment("late")])
    assert await behind(ground.engine, DOMAINS, pair) == []
    assert await totals(ground.engine, DOMAINS, generation) == (1, 3)


async def test_while_both_are_fed_they_are_the_same_in_every_snapshot(ground: Database, store: MemoryStore) -> None:
    await stored(store, *COMMITS)
    generation, _ = await built(ground, store, [])
    await feed(ground.engine, READ_MODEL, generation)
    assert (await read_fed(ground.engine)).beside == (generation,)
    projecting = Projecting(ground, DOMAINS, store)
    for start in range(0, len(COMMITS), 40):
        await projecting.project(COMMITS[start : start + 40])
        assert (await compare(ground.engine, DOMAINS, Pair(1, generation))).differences == []


async def test_streams_that_ended_before_a_projection_came_are_no_difference(ground: Database, store: MemoryStore) -> None:
    await stored(store, *COMMITS)
    await Projecting(ground, DOMAINS, store).project(COMMITS)
    async with ground.engine.begin() as connection:
        young = "DELETE FROM positions WHERE projector = 'comments_per_author' AND stream < 'comment-2'"
        many = (await connection.execute(text(young))).rowcount
        await connection.execute(text("UPDATE comments_per_author SET comments = 1"))
    generation, _ = await built(ground, store, [COMMITS])
    found = await compare(ground.engine, DOMAINS, Pair(1, generation))
    assert (found.differences, found.only_new, found.apart) == ([], [f"comments_per_author of {many} streams"], 0)
    async with ground.engine.begin() as connection:
        await connection.execute(text("DELETE FROM comments WHERE stream = 'comment-1'"))
    found = await compare(ground.engine, DOMAINS, Pair(1, generation))
    assert found.differences == [
        "comments: 1 streams are not at the same version: comment-1",
        "comments_per_author: 1 streams are not at the same version: comment-1",
    ]
