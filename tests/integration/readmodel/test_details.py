"""What is said of data that PostgreSQL refuses: stored in parks, printed and logged, and so without the data itself."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, text

from events.domain import Registry
from events.memory_store import MemoryStore
from readmodel.comments.domain import DOMAIN
from readmodel.database import Database, database_errors
from readmodel.errors import UnstorableData
from readmodel.parking import list_parked
from readmodel.projecting import Projecting
from readmodel.projection import Changes, Delta, Happened, Projection, Row
from tests.unit.readmodel.commits import comment, history

COUNTED = Table("counted", MetaData(), Column("key", Text(collation="C"), primary_key=True), Column("number", BigInteger))


@pytest.mark.parametrize("value", ["secret (very)", "secret\nof two lines", 2**70, object()])
async def test_a_value_of_another_type_parks_and_is_not_told(database: Database, store: MemoryStore, value: Any) -> None:
    def project(row: Row | None, happened: Happened) -> Changes:
        return Changes(deltas=(Delta(COUNTED, "k", highest={"number": value if happened.stream == comment(1) else 1}),))

    projection = Projection("counted", (COUNTED,), project)
    async with database.engine.begin() as connection:
        await connection.run_sync(COUNTED.metadata.create_all)
    registry = Registry([replace(DOMAIN, projections=(projection,))])
    await Projecting(database, registry, store).project([*history(comment(1)), *history(comment(2))])
    [parked] = await list_parked(database.engine)
    assert (parked.stream, parked.reason) == (comment(1), "unstorable")
    assert parked.detail.startswith("SQLSTATE 22000: invalid input for query argument $2: ")
    assert not any(word in parked.detail for word in ("secret", "lines", str(2**70), "object at"))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT 'secret'::int", "SQLSTATE 22P02: invalid input syntax for type integer"),
        ("SELECT E'\\\\x'::bytea, 'secret'::date", "SQLSTATE 22007: invalid input syntax for type date"),
        ("SELECT 1 / 0", "SQLSTATE 22012: division by zero"),
    ],
)
async def test_the_servers_words_are_told_without_the_value(database: Database, statement: str, said: str) -> None:
    with pytest.raises(UnstorableData) as refused, database_errors():
        async with database.engine.connect() as connection:
            await connection.execute(text(statement))
    assert str(refused.value) == said
