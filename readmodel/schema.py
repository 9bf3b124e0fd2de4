"""The schema: made and brought up to date by `migrate`, held to exactly this code's by `verify`.

Alembic moves the control tables and the built-in tables of each generation, in one transaction under an advisory lock. The
tables of plugged-in projections are created from their own metadata where they are missing and never altered: a generation is
built once, so a projection that changes its tables is a new generation (`headrace rebuild rds`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, func, inspect, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateSchema

from events.domain import Registry
from readmodel.comments.tables import METADATA as BUILT_IN
from readmodel.control import CONTROL_SCHEMA, GENERATIONS, READ_MODEL, schema_of
from readmodel.database import database_errors, open_engine
from readmodel.domains import all_projections
from readmodel.errors import NoSchema
from runtime.settings import Settings, require

CONTROL_REVISION: Final = "control_0003"
GENERATION_REVISION: Final = "generation_0001"
_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 4_815_162_342  # of all databases' advisory locks this one is `migrate`'s


class SchemaMismatch(NoSchema):
    """The schema is older or newer than this code; an older one needs `headrace provision`, a newer one newer code."""


async def migrate(settings: Settings, registry: Registry) -> None:
    """Create or update the schema. Idempotent; two at once take turns. Refuses a schema newer than this code."""
    require(settings, "database_url")
    engine = open_engine(settings, CONTROL_SCHEMA)
    try:
        with database_errors():
            async with engine.begin() as connection:
                await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
                await connection.run_sync(_migrate, registry)
    finally:
        await engine.dispose()


async def create_generation(connection: AsyncConnection, registry: Registry, generation: int) -> None:
    """Tables of a generation beside the current one, empty; for a rebuild, in the caller's transaction."""
    await connection.run_sync(_create_generation, registry, generation)


async def verify(engine: AsyncEngine, registry: Registry | None = None) -> None:
    """Raises SchemaMismatch unless schema and generation of this engine are what this code was written for."""
    with database_errors():
        async with engine.connect() as connection:
            await connection.run_sync(_verify, registry)


def _migrate(connection: Connection, registry: Registry) -> None:
    connection.execute(CreateSchema(CONTROL_SCHEMA, if_not_exists=True))
    _upgrade(connection, CONTROL_SCHEMA, "control")
    for generation in generations_there(connection):
        _create_generation(connection, registry, generation)


def generations_there(connection: Connection) -> list[int]:
    """All that have a schema: the current one and those beside it."""
    prefix = schema_of(0)[:-1]
    names = [name[len(prefix) :] for name in inspect(connection).get_schema_names() if name.startswith(prefix)]
    return sorted(int(name) for name in names if name.isdigit())


def _create_generation(connection: Connection, registry: Registry, generation: int) -> None:
    schema = schema_of(generation)
    connection.execute(CreateSchema(schema, if_not_exists=True))
    connection.execute(select(func.set_config("search_path", schema, True)))  # until the transaction ends
    _upgrade(connection, schema, "generation")
    inspect(connection).clear_cache()
    for metadata, tables in _plugged_in(registry):
        metadata.create_all(connection, tables=tables)


def _plugged_in(registry: Registry) -> Iterable[tuple[MetaData, list[Table]]]:
    for projection in all_projections(registry):
        for table in projection.tables:
            if table.metadata is not BUILT_IN:
                yield table.metadata, [table]


def _upgrade(connection: Connection, schema: str, scripts: str) -> None:
    config = _config(scripts)
    config.attributes.update(connection=connection, schema=schema)
    current = _revision(connection, schema)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise SchemaMismatch(f"the schema {schema} is at {current}, newer than this code: run a newer release")
    command.upgrade(config, "head")


def _config(scripts: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("version_locations", str(_SCRIPTS / scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def _revision(connection: Connection, schema: str) -> str | None:
    if not inspect(connection).has_table("alembic_version", schema=schema):
        return None
    version = Table("alembic_version", MetaData(), schema=schema, autoload_with=connection)
    found = connection.execute(select(version.c.version_num)).scalar_one_or_none()
    return None if found is None else str(found)


def _verify(connection: Connection, registry: Registry | None) -> None:
    generation = str(connection.execute(select(func.current_schema())).scalar_one_or_none())
    for schema, wanted in ((CONTROL_SCHEMA, CONTROL_REVISION), (generation, GENERATION_REVISION)):
        found = _revision(connection, schema)
        if found != wanted:
            raise SchemaMismatch(f"the schema {schema} is at {found}, this code needs {wanted}: run `headrace provision`")
    if registry is not None:
        present = set(inspect(connection).get_table_names())
        missing = [table.name for each in all_projections(registry) for table in each.tables if table.name not in present]
        if missing:
            raise SchemaMismatch(f"{generation} lacks {', '.join(missing)}: run `headrace provision`")


async def set_current(connection: AsyncConnection, generation: int) -> None:
    """Flip queries to a generation, in the caller's transaction."""
    put = insert(GENERATIONS).values(projector=READ_MODEL, current=generation, newest=generation)
    changed = {"current": generation, "newest": func.greatest(GENERATIONS.c.newest, generation), "flipped_at": func.now()}
    await connection.execute(put.on_conflict_do_update(index_elements=[GENERATIONS.c.projector], set_=changed))
