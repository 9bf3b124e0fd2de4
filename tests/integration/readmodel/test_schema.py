"""The schema: made once however many make it, refused when it is another."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Table, text
from sqlalchemy.dialects import postgresql

from docs.examples import comments_per_author
from events.domain import Registry
from readmodel import control, schema
from readmodel.comments import tables
from readmodel.database import PROJECTING, Database, open_database
from readmodel.errors import NoSchema
from readmodel.schema import SchemaMismatch, create_generation, migrate, set_current, verify
from runtime.settings import Settings
from tests.unit.readmodel.commits import REGISTRY


@pytest.fixture
async def bare(database_url: str) -> AsyncIterator[Settings]:
    """An empty database."""
    name = f"bare_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(database_url)
    await connection.execute(f'CREATE DATABASE "{name}"')
    yield Settings(database_url=f"{database_url.rpartition('/')[0]}/{name}")
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


async def test_it_is_made_once_by_many_and_again_by_nobody(bare: Settings) -> None:
    await asyncio.gather(*(migrate(bare, REGISTRY) for _ in range(4)))
    await migrate(bare, REGISTRY)
    async with open_database(bare, PROJECTING) as database:
        assert database.generation == 1
        await verify(database.engine, REGISTRY)


async def test_without_it_nothing_starts(bare: Settings) -> None:
    with pytest.raises(NoSchema):
        async with open_database(bare, PROJECTING):
            pass


@pytest.mark.parametrize(("version_table", "said"), [("headrace.alembic_version", "newer"), ("rds_1.alembic_version", "newer")])
async def test_another_schema_is_refused(database: Database, read_settings: Settings, version_table: str, said: str) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text(f"UPDATE {version_table} SET version_num = 'from_the_future'"))
    with pytest.raises(SchemaMismatch, match="from_the_future"):
        await verify(database.engine)
    with pytest.raises(SchemaMismatch, match=said):
        await migrate(read_settings, REGISTRY)


async def test_a_plugged_in_projections_tables_are_made_beside(read_settings: Settings, database: Database) -> None:
    registry = Registry([comments_per_author.DOMAIN])
    with pytest.raises(SchemaMismatch, match="comments_per_author"):
        await verify(database.engine, registry)
    await migrate(read_settings, registry)
    await verify(database.engine, registry)


async def test_the_scripts_make_what_the_code_speaks_of(database: Database) -> None:
    def built(connection: Connection, name: str, within: str | None) -> Table:
        return Table(name, MetaData(), autoload_with=connection, schema=within)

    for table in (*tables.METADATA.tables.values(), *control.METADATA.tables.values()):
        async with database.engine.connect() as connection:
            found = await connection.run_sync(built, table.name, table.schema)
        assert [_described(column) for column in found.columns] == [_described(column) for column in table.columns]
        assert [key.name for key in found.primary_key.columns] == [key.name for key in table.primary_key.columns]
        assert {(index.name, *index.columns.keys()) for index in found.indexes} == {
            (index.name, *index.columns.keys()) for index in table.indexes
        }


def _described(column: Column[Any]) -> tuple[Any, ...]:
    kind = column.type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]
    return column.name, kind, column.nullable, column.comment, column.server_default is not None


async def test_the_revisions_that_roles_check_are_the_scripts_own() -> None:
    for scripts, revision in (("control", schema.CONTROL_REVISION), ("generation", schema.GENERATION_REVISION)):
        config: Config = schema._config(scripts)
        assert ScriptDirectory.from_config(config).get_current_head() == revision


async def test_a_generation_is_made_beside_and_flipped_to(read_settings: Settings, database: Database) -> None:
    async with database.engine.begin() as connection:
        await create_generation(connection, REGISTRY, 2)
    async with open_database(read_settings, PROJECTING, generation=2) as beside:
        await verify(beside.engine, REGISTRY)
    async with database.engine.begin() as connection:
        await set_current(connection, 2)
    async with open_database(read_settings, PROJECTING) as current:
        assert current.generation == 2
    await migrate(read_settings, REGISTRY)
