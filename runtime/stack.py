"""The stack's own facts, written once by `headrace provision` and read by every role at its start: one item, one read."""

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from runtime.aws import aws_errors
from runtime.errors import ConfigurationError
from runtime.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

FORMAT: Final = 1
PARTITIONS: Final = 16
_KEY: Final = "stack"


class Stack(Struct, frozen=True):
    """What a process must know of its stack. Stored as JSON: add fields with defaults."""

    partitions: int
    append: str
    """How appends are made: `partiql:25`, `transact:100`, `transact:10` or `put:1`; see events.append_calls."""
    topic_arn: str
    queues: dict[str, str]
    """Name (`commands`, `rds`, `cache`, each also with `-dead`) -> queue URL."""
    format: int = FORMAT


def table_name(settings: Settings, table: str) -> str:
    """`events`, `snapshots` or `control` of this stack."""
    return f"{settings.stack}-{table}"


async def load_stack(dynamodb: "DynamoDBClient", settings: Settings) -> Stack:
    """Raises ConfigurationError when there is no stack or it is not the one the settings speak of."""
    stack = await read_stack(dynamodb, settings)
    if stack is None:
        raise ConfigurationError([f"HEADRACE_STACK: no stack named {settings.stack} here; run `headrace provision`"])
    if settings.partitions is not None and settings.partitions != stack.partitions:
        raise ConfigurationError([f"HEADRACE_PARTITIONS: {settings.partitions}, but the stack has {stack.partitions}"])
    return stack


async def read_stack(dynamodb: "DynamoDBClient", settings: Settings) -> Stack | None:
    """None when the control table or its item is not there yet."""
    with aws_errors():
        try:
            answer = await dynamodb.get_item(TableName=table_name(settings, "control"), Key={"id": {"S": _KEY}}, ConsistentRead=True)
        except dynamodb.exceptions.ResourceNotFoundException:
            return None
    item: dict[str, Any] = answer.get("Item", {})
    if "facts" not in item:
        return None
    stack = msgspec.json.decode(item["facts"]["S"], type=Stack)
    if stack.format > FORMAT:
        raise ConfigurationError([f"HEADRACE_STACK: {settings.stack} was provisioned by a newer version"])
    return stack


async def write_stack(dynamodb: "DynamoDBClient", settings: Settings, stack: Stack) -> None:
    """Only `headrace provision` writes."""
    with aws_errors():
        await dynamodb.put_item(
            TableName=table_name(settings, "control"),
            Item={"id": {"S": _KEY}, "facts": {"S": msgspec.json.encode(stack).decode()}},
        )
