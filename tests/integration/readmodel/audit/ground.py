"""What a corruption is done with: each store edited behind the back of all code that should."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from events.comments.events import CommentCreated, CommentUpdated
from events.dynamo_items import Item
from events.envelope import Commit
from events.ids import StreamId, stream_id
from readmodel.comments.cached import comment_key, load_keys, newest_key, picture_key
from readmodel.entries import encode
from runtime.stack import table_name
from tests.integration.readmodel.conftest import House, write
from tests.unit.readmodel.commits import commit

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

TABLES = {
    "comments": "stream",
    "pictures": "picture_id",
    "positions": "stream || ' ' || projector",
    "headrace.published": "stream",
    "headrace.parked": "stream || ' ' || projector",
}
Events = list[dict[str, Any]]


def stream_of(name: str) -> StreamId:
    return stream_id("comment", name)


def picture_of(name: str) -> str:
    return f"picture-of-{name}"


def life(name: str) -> list[Commit]:
    """Four events in three commits, 1, 2-3 and 4, on a picture of its own."""
    stream = stream_of(name)
    return [
        commit(stream, 1, 0, CommentCreated(picture_of(name), "ann", f"first of {name}")),
        commit(stream, 2, 1, CommentUpdated("second"), CommentUpdated("third")),
        commit(stream, 4, 2, CommentUpdated("fourth")),
    ]


@dataclass
class Ground:
    """Everything stored of one stack."""

    house: House
    dynamodb: "DynamoDBClient"

    @property
    def _table(self) -> str:
        return table_name(self.house.settings, "events")

    async def live(self, *names: str) -> None:
        """Whole lives, stored and projected."""
        await write(self.house, *(each for name in names for each in life(name)))

    async def begin(self, name: str, commits: int = 1) -> None:
        """The first so many commits stored and projected, the others stored only."""
        whole = life(name)
        await write(self.house, *whole[:commits])
        await self.house.store.append(whole[commits:])

    async def item(self, name: str, first: int) -> Item:
        found = await self.dynamodb.get_item(TableName=self._table, Key=self._key(name, first), ConsistentRead=True)
        return dict(found["Item"])  # type: ignore[arg-type]

    def _key(self, name: str, first: int) -> Any:
        return {"stream_id": {"S": stream_of(name)}, "first_version": {"N": str(first)}}

    async def remove(self, name: str, first: int) -> None:
        """A commit out of the event store."""
        await self.dynamodb.delete_item(TableName=self._table, Key=self._key(name, first))

    async def put(self, name: str, first: int, **changed: Any) -> None:
        """A commit's item with other attributes; None takes one away."""
        item: dict[str, Any] = {**await self.item(name, first), **changed}
        await self.dynamodb.put_item(TableName=self._table, Item={key: value for key, value in item.items() if value is not None})

    async def edit(self, name: str, first: int, change: Callable[[Events], Events]) -> None:
        """A commit's events."""
        events = json.loads((await self.item(name, first))["events"]["S"])
        await self.put(name, first, events={"S": json.dumps(change(events))})

    async def sql(self, statement: str, **values: Any) -> None:
        """One statement, which must change something."""
        async with self.house.database.engine.begin() as connection:
            done = await connection.execute(text(statement), values)
            assert done.rowcount > 0, statement

    async def loaded(self, key: str) -> tuple[int, Any]:
        """(version, view) as PostgreSQL has it now."""
        async with self.house.database.engine.connect() as connection:
            return (await load_keys(connection, self.house.cache.prefix, [key]))[key]

    async def cache(self, key: str, version: int, view: Any) -> None:
        await self.house.client.set(key, encode(version, view))

    def keys(self, name: str) -> Sequence[str]:
        """Of the comment, its picture and its picture's list."""
        prefix = self.house.cache.prefix
        return (comment_key(prefix, stream_of(name)), picture_key(prefix, picture_of(name)), newest_key(prefix, picture_of(name)))

    async def everything(self) -> dict[str, dict[str, Any]]:
        """Every item, row and value, by table and key."""
        page = await self.dynamodb.scan(TableName=self._table, ConsistentRead=True)
        assert "LastEvaluatedKey" not in page
        found: dict[str, dict[str, Any]] = {
            "events": {f"{item['stream_id']['S']} {item['first_version']['N']}": item for item in page["Items"]}
        }
        async with self.house.database.engine.connect() as connection:
            for table, key in TABLES.items():
                rows = await connection.execute(text(f"SELECT {key}, * FROM {table}"))
                found[table] = {str(row[0]): tuple(row) for row in rows}
        keys = [key.decode() if isinstance(key, bytes) else key for key in await self.house.client.keys()]
        return found | {"redis": {key: await self.house.client.get(key) for key in keys}}
