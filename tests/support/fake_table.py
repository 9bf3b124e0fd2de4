"""A DynamoDB table of one condition: enough for lease rows."""

import asyncio
from typing import Any

from tests.support.fake_streams import refused

Item = dict[str, Any]


class FakeTable:
    """`lose`: so many writes from now on are carried out and their answer never comes. `away`: writes are throttled while it is set."""

    def __init__(self) -> None:
        self.rows: dict[str, Item] = {}
        self.lose = 0
        self.away = asyncio.Event()

    async def batch_get_item(self, *, RequestItems: dict[str, Any], **_: Any) -> Item:  # noqa: N803 - the vendor's words
        ((table, asked),) = RequestItems.items()
        keys = [key["id"]["S"] for key in asked["Keys"]]
        return {"Responses": {table: [self.rows[key] for key in keys if key in self.rows]}, "UnprocessedKeys": {}}

    async def put_item(self, *, Item: Item, ExpressionAttributeValues: Item, **_: Any) -> Item:  # noqa: N803
        if self.away.is_set():
            raise refused("Throttling")
        row = self.rows.get(Item["id"]["S"])
        expected = (ExpressionAttributeValues[":counter"], ExpressionAttributeValues[":epoch"])
        if row is not None and (row["lease_counter"], row["lease_epoch"]) != expected:
            raise refused("ConditionalCheckFailedException")
        self.rows[Item["id"]["S"]] = Item
        if self.lose:
            self.lose -= 1
            raise TimeoutError
        return {} if row is None else {"Attributes": row}
