"""A DynamoDB table of one key: enough for lease rows and the wish for a walk. Conditions are judged by the values that come with them."""

import asyncio
from typing import Any

from tests.support.fake_streams import refused

Item = dict[str, Any]
REFUSED = "ConditionalCheckFailedException"


class FakeTable:
    """`lose`: so many puts from now on are carried out and their answer never comes. `away`: writes are throttled while it is set."""

    def __init__(self) -> None:
        self.rows: dict[str, Item] = {}
        self.lose = 0
        self.away = asyncio.Event()

    async def get_item(self, *, Key: Item, **_: Any) -> Item:  # noqa: N803 - the vendor's words
        row = self.rows.get(Key["id"]["S"])
        return {} if row is None else {"Item": row}

    async def batch_get_item(self, *, RequestItems: dict[str, Any], **_: Any) -> Item:  # noqa: N803
        if self.away.is_set():
            raise refused("Throttling")
        ((table, asked),) = RequestItems.items()
        keys = [key["id"]["S"] for key in asked["Keys"]]
        return {"Responses": {table: [self.rows[key] for key in keys if key in self.rows]}, "UnprocessedKeys": {}}

    async def put_item(self, *, Item: Item, ExpressionAttributeValues: Item | None = None, **_: Any) -> Item:  # noqa: N803
        if self.away.is_set():
            raise refused("Throttling")
        row = self.rows.get(Item["id"]["S"])
        if ExpressionAttributeValues is not None and row is not None:
            _agree(row, ExpressionAttributeValues)
        self.wrote(row, Item)
        self.rows[Item["id"]["S"]] = Item
        if self.lose:
            self.lose -= 1
            raise TimeoutError
        return {} if row is None else {"Attributes": row}

    async def update_item(self, *, Key: Item, ExpressionAttributeValues: Item, **_: Any) -> None:  # noqa: N803
        """Asking for a lease, or for a walk."""
        if self.away.is_set():
            raise refused("Throttling")
        ident, values = Key["id"]["S"], ExpressionAttributeValues
        row = self.rows.get(ident, {"id": {"S": ident}})
        if ":why" in values:
            number = int(row.get("walk_number", {"N": "0"})["N"]) + 1
            self.rows[ident] = row | {"walk_why": values[":why"], "walk_number": {"N": str(number)}}
            return
        if (row.get("lease_owner"), row.get("lease_epoch")) != (values[":owner"], values[":epoch"]) or "lease_wanted" in row:
            raise refused(REFUSED)
        self.rows[ident] = row | {"lease_wanted": values[":me"]}

    async def delete_item(self, *, Key: Item, ExpressionAttributeValues: Item, **_: Any) -> None:  # noqa: N803
        row = self.rows.get(Key["id"]["S"], {})
        _agree(row, ExpressionAttributeValues)
        del self.rows[Key["id"]["S"]]

    async def scan(self, *, ExpressionAttributeValues: Item, **_: Any) -> Item:  # noqa: N803
        prefix = ExpressionAttributeValues[":prefix"]["S"]
        return {"Items": [row for ident, row in self.rows.items() if ident.startswith(prefix)]}

    def wrote(self, before: Item | None, after: Item) -> None:
        """For those who watch."""


def _agree(row: Item, values: Item) -> None:
    if (row.get("lease_counter"), row.get("lease_epoch")) != (values[":counter"], values[":epoch"]):
        raise refused(REFUSED)
