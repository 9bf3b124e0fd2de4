"""One hash over a generation: the same for the same contents however they came about, another for anything else."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from docs.examples import comments_per_author
from events.domain import Registry
from readmodel import hashing
from readmodel.comments.projection import PROJECTION
from readmodel.database import Database
from readmodel.domains import all_projections
from readmodel.hashing import digests, generation_digest, overall
from readmodel.schema import create_generation, migrate
from tests.integration.readmodel.conftest import House, write
from tests.unit.readmodel.commits import REGISTRY, comment, history

PROJECTIONS = all_projections(REGISTRY)
CHANGES = [
    "UPDATE comments SET text = 'other' WHERE stream = 'comment-3'",
    "UPDATE comments SET head_id = '' WHERE stream = 'comment-19'",
    "UPDATE comments SET updated_at = updated_at + interval '1 microsecond' WHERE stream = 'comment-1'",
    "DELETE FROM comments WHERE stream = 'comment-7'",
    "UPDATE pictures SET last_commented_at = NULL WHERE picture_id = 'p1'",
    "INSERT INTO pictures VALUES ('nobody', 0, NULL, 0)",
    "INSERT INTO positions VALUES ('rds', 'other-1', 1, 1, 'c')",
]


async def filled(house: House) -> None:
    for n in range(20):
        await write(house, *history(comment(n), f"p{n % 3}", updates=n % 4, deleted=n % 5 == 0))


async def copied(connection: AsyncConnection) -> None:
    """Generation 2 with the same rows as 1, written the other way round."""
    await create_generation(connection, REGISTRY, 2)
    for table, key in (("comments", "stream"), ("pictures", "picture_id")):
        await connection.execute(text(f"INSERT INTO rds_2.{table} SELECT * FROM rds_1.{table} ORDER BY {key} DESC"))


async def test_two_generations_with_the_same_rows_have_the_same_hash_in_one_snapshot(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(house)
    at_once = await generation_digest(house.database, PROJECTIONS)
    assert {name: each.rows for name, each in at_once.items()} == {"comments": 20, "pictures": 3, "positions": 0}
    monkeypatch.setattr(hashing, "PAGE", 7)
    async with house.database.engine.begin() as connection:
        await copied(connection)
    first = await generation_digest(house.database, PROJECTIONS)
    second = await generation_digest(Database(house.database.engine, 2), PROJECTIONS)
    assert first == second
    assert overall(first) == overall(second)
    async with house.database.engine.connect() as connection:
        assert await digests(connection, PROJECTIONS, 1) == await digests(connection, PROJECTIONS, 2)


@pytest.mark.parametrize("change", CHANGES)
async def test_any_other_content_has_another_hash(house: House, change: str) -> None:
    await filled(house)
    before = await generation_digest(house.database, PROJECTIONS)
    async with house.database.engine.begin() as connection:
        await connection.execute(text(change))
    after = await generation_digest(house.database, PROJECTIONS)
    assert overall(before) != overall(after)
    assert sum(before[name] != after[name] for name in before) == 1


async def test_the_order_of_columns_does_not_show(house: House) -> None:
    await filled(house)
    before = await generation_digest(house.database, [PROJECTION])
    async with house.database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE pictures RENAME TO former"))
        columns = "revision, last_commented_at, comment_count, picture_id"
        await connection.execute(text(f"CREATE TABLE pictures AS SELECT {columns} FROM former ORDER BY picture_id DESC"))
    assert await generation_digest(house.database, [PROJECTION]) == before


async def test_the_caches_positions_are_left_out_and_other_projections_positions_are_not(house: House) -> None:
    await filled(house)
    registry = Registry([comments_per_author.DOMAIN])
    await migrate(house.settings, registry)
    async with house.database.engine.begin() as connection:
        await connection.execute(text("INSERT INTO positions SELECT 'comments_per_author', stream, version, 1, 'c' FROM comments"))
    counts = {name: each.rows for name, each in (await generation_digest(house.database, all_projections(registry))).items()}
    assert counts == {"comments": 20, "pictures": 3, "comments_per_author": 0, "positions": 20}
