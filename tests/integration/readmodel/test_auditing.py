"""What an audit reads agrees with the pure projection, on every table; and it finds what was tampered with."""

from typing import Any

from sqlalchemy import text

from docs.examples import comments_per_author
from events.domain import Registry
from readmodel.auditing import ABSENT, Values, in_database, snapshot
from readmodel.canonical import differences, digest, expected, expected_row
from readmodel.comments.projection import PROJECTION
from readmodel.comments.tables import COMMENTS, PICTURES
from readmodel.control import POSITIONS
from readmodel.database import PROJECTING, open_database
from readmodel.folding import summed
from readmodel.pages import Page
from readmodel.projecting import Projecting
from readmodel.schema import migrate
from readmodel.timetravel import comment_as_of, history
from runtime.times import Micros
from tests.integration.readmodel.conftest import House, write
from tests.unit.readmodel.commits import REGISTRY, T0, broken, comment
from tests.unit.readmodel.commits import history as life


async def table(house: House, wanted: Any) -> list[dict[str, Any]]:
    async with snapshot(house.database) as now:
        return [row async for page in now.rows(wanted, page=7) for row in page]


async def test_tables_equal_the_fold_and_a_change_behind_our_back_shows(house: House) -> None:
    for n in range(20):
        await write(house, *life(comment(n), f"p{n % 3}", updates=n % 4, deleted=n % 5 == 0))
    deltas = []
    rows = await table(house, COMMENTS)
    assert [row["stream"] for row in rows] == sorted(comment(n) for n in range(20))
    for row in rows:
        fold = expected(PROJECTION, REGISTRY, row["stream"], await house.store.load(row["stream"]))
        deltas += fold.deltas
        assert differences(fold.row, row) == []
        assert fold.row is not None
        assert digest(fold.row) == digest(row)
    sums = summed(deltas)[PICTURES]
    assert await table(house, PICTURES) == [
        expected_row(PICTURES, key, sums.add[key], sums.highest.get(key, {})) for key in sorted(sums.add)
    ]
    async with house.database.engine.begin() as connection:
        await connection.execute(text("UPDATE comments SET text = 'tampered', version = 9 WHERE stream = 'comment-3'"))
    [tampered] = [row for row in await table(house, COMMENTS) if row["stream"] == "comment-3"]
    fold = expected(PROJECTION, REGISTRY, comment(3), await house.store.load(comment(3)))
    assert differences(fold.row, tampered) == ["text is 'tampered', the events say 'text 2 of comment-3'", "version is 9, the events say 4"]
    assert differences(None, tampered) == ["a row that no event made"]
    assert differences(fold.row, None) == ["no row"]


async def test_positions_and_parks_are_listed(house: House) -> None:
    await write(house, *life(comment(1), updates=1), *life(comment(2)))
    await write(house, broken(comment(2), 2, 1, "[]"))
    streams = [comment(n) for n in range(4)]
    async with snapshot(house.database) as now:
        rds = {row["stream"]: row["version"] async for page in now.places(COMMENTS) for row in page}
        cache = {row["stream"]: row["version"] async for page in now.positions("cache") for row in page}
        assert rds == cache == await now.versions(COMMENTS, streams) == await now.versions(POSITIONS, streams, "cache")
        assert rds == {comment(1): 2, comment(2): 1}
        assert [row["stream"] async for page in now.parks() for row in page] == [comment(2)]
        assert await now.parked(streams) == {("comments", comment(2))}
        assert await now.count_parked() == (1, 0)


async def test_a_snapshot_stays_as_it_was(house: House) -> None:
    await write(house, *life(comment(1), updates=1))
    async with snapshot(house.database) as now:
        assert await now.versions(COMMENTS, [comment(1), comment(2)]) == {comment(1): 2}
        await write(house, *life(comment(2)), *life(comment(1), updates=2)[2:])
        assert await now.versions(COMMENTS, [comment(1), comment(2)]) == {comment(1): 2}
        assert [row["revision"] async for page in now.rows(PICTURES) for row in page] == [2]
    async with snapshot(house.database) as now:
        assert await now.versions(COMMENTS, [comment(1), comment(2)]) == {comment(1): 3, comment(2): 1}


async def test_cached_versions_are_compared_with_postgresqls(house: House) -> None:
    await write(house, *life(comment(1), "p", updates=1))
    await house.reads.comment("1")
    await house.reads.comment("none")
    await house.reads.picture("p")
    await house.reads.comments("p", Page())
    await house.client.set(f"{house.cache.prefix}comment:comment-junk", b"junk")
    values = Values(house.client, house.cache.prefix)
    keys = [key async for page in values.keys() for key in page]  # noqa: SIM118 - not a dictionary
    found = dict(zip(keys, await values.versions(keys), strict=True))
    assert sorted(v for v in found.values() if v is not None) == [0, 2, 2, 2]
    assert [key for key, version in found.items() if version is None] == [f"{house.cache.prefix}comment:comment-junk"]
    there = await in_database(house.database, house.cache.prefix, list(found))
    assert all(version is None or version <= there[key][0] for key, version in found.items())
    await house.client.lpush(f"{house.cache.prefix}comment:list", "not a text")
    others = [f"{house.cache.prefix}comment:{name}" for name in ("gone", "list")]
    assert await values.versions(others) == [ABSENT, None]
    assert await values.whole([f"{house.cache.prefix}comment:comment-junk", *others]) == [b"junk", None, None]


async def test_a_second_projection_follows_even_streams_that_are_older_than_it(house: House) -> None:
    commits = life(comment(1), updates=1, deleted=True)
    await write(house, *commits[:2], *life(comment(2)))
    registry = Registry([comments_per_author.DOMAIN])
    await migrate(house.settings, registry)
    async with open_database(house.settings, PROJECTING) as database:
        both = Projecting(database, registry, house.store)
        await house.store.append(commits[2:])
        await both.project(commits[2:])  # a hole for the new projection, filled from the store
        await both.catch_up([comment(2)])
        assert [(row["author"], row["comments"]) for row in await table(house, comments_per_author.AUTHORS)] == [("ann", 1)]
        await both.project([*commits, *life(comment(2))])
        assert [(row["author"], row["comments"]) for row in await table(house, comments_per_author.AUTHORS)] == [("ann", 1)]
    assert [row["version"] for row in await table(house, COMMENTS)] == [3, 1]


async def test_a_comment_as_it_was(house: House) -> None:
    await house.store.append(life(comment(1), "p", updates=2, deleted=True))

    async def at(version: int | None = None, micros: int | None = None) -> str | None:
        when = None if micros is None else Micros(T0 + micros)
        found = await comment_as_of(house.store, REGISTRY, comment(1), version=version, at=when)
        return None if found is None else f"{found.version}: {found.text}"

    assert [await at(version) for version in (0, 1, 2, 3, 4, 5)] == [
        None,
        "1: first of comment-1",
        "2: text 0 of comment-1",
        "3: text 1 of comment-1",
        None,
        None,
    ]
    assert [await at(micros=when) for when in (999, 1000, 2999, 3000, 4000)] == [
        None,
        "1: first of comment-1",
        "2: text 0 of comment-1",
        "3: text 1 of comment-1",
        None,
    ]
    events = await history(house.store, REGISTRY, comment(1))
    assert events is not None
    assert [(each.version, each.name) for each in events] == [
        (1, "comment.created"),
        (2, "comment.updated"),
        (3, "comment.updated"),
        (4, "comment.deleted"),
    ]
    assert bytes(events[1].data) == b'{"text":"text 0 of comment-1"}'
    assert await history(house.store, REGISTRY, comment(2)) is None
