"""A DynamoDB table of one condition: enough for lease rows."""

from typing import Any

from tests.support.fake_streams import refused


class FakeTable:
    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    async def get_item(self, *, Key: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - the vendor's words
        row = self.rows.get(Key["id"]["S"])
        return {} if row is None else {"Item": row}

    async def put_item(self, *, Item: dict[str, Any], ExpressionAttributeValues: dict[str, Any], **_: Any) -> None:  # noqa: N803
        row = self.rows.get(Item["id"]["S"])
        expected = (ExpressionAttributeValues[":counter"], ExpressionAttributeValues[":epoch"])
        if row is not None and (row["lease_counter"], row["lease_epoch"]) != expected:
            raise refused("ConditionalCheckFailedException")
        self.rows[Item["id"]["S"]] = Item
