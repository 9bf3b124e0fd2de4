"""The stack's own facts: one item of the control table. `headrace provision` writes them; every role reads them at its start.

They change under running processes in one thing only, the number of partitions: see `changing`.
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec
from botocore.exceptions import ClientError
from msgspec import UNSET, Struct, UnsetType

from runtime.aws import aws_errors, error_code
from runtime.errors import ConfigurationError, Retryable
from runtime.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

FORMAT: Final = 1
PARTITIONS: Final = 16
_KEY: Final = "stack"


class Changing(Struct, frozen=True):
    """A mark: somebody is changing the number of partitions, and no command is to be sent until the mark is gone."""

    to: int
    by: str
    """Who, unique for the life of that process."""
    beat: int
    """Rises as long as that process lives."""
    seconds: float
    """Standing still for so long, by the clock of whoever watches it, the mark no longer counts."""


class Stack(Struct, frozen=True):
    """What a process must know of its stack. Stored as JSON: add fields with defaults."""

    partitions: int
    append: str
    """How appends are made: `partiql:25`, `transact:100`, `transact:10` or `put:1`; see events.append_calls."""
    topic_arn: str
    queues: dict[str, str]
    """Name (`commands`, `rds`, `cache`, where wanted `amqp`, each also with `-dead`) -> queue URL."""
    format: int = FORMAT
    changing: Changing | UnsetType = UNSET
    """Not stored while there is nothing to say."""


class Seen(NamedTuple):
    """The facts, and the text that held them: writing is conditional on it."""

    stack: Stack
    text: str


class Overtaken(Retryable):
    """Somebody else wrote the stack's facts meanwhile; ours were not written."""


class Facts(Protocol):
    """The item as its readers and its few writers need it."""

    async def read(self) -> Seen | None:
        """None when nothing was ever provisioned. Raises Retryable, or ConfigurationError on what a newer version wrote."""
        ...

    async def replace(self, seen: Seen | None, stack: Stack) -> Seen:
        """Write, if what was seen still stands. Raises Overtaken; may be repeated when the answer was lost."""
        ...


class StackItem:
    """The real one."""

    def __init__(self, dynamodb: "DynamoDBClient", settings: Settings) -> None:
        self._dynamodb, self._stack, self._table = dynamodb, settings.stack, table_name(settings, "control")

    async def read(self) -> Seen | None:
        with aws_errors():
            try:
                answer = await self._dynamodb.get_item(TableName=self._table, Key={"id": {"S": _KEY}}, ConsistentRead=True)
            except self._dynamodb.exceptions.ResourceNotFoundException:
                return None
        item: dict[str, Any] = answer.get("Item", {})
        if "facts" not in item:
            return None
        text: str = item["facts"]["S"]
        stack = msgspec.json.decode(text, type=Stack)
        if stack.format > FORMAT:
            raise ConfigurationError([f"HEADRACE_STACK: {self._stack} was provisioned by a newer version"])
        return Seen(stack, text)

    async def replace(self, seen: Seen | None, stack: Stack) -> Seen:
        new = Seen(stack, msgspec.json.encode(stack).decode())
        call: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(facts)"}
        if seen is not None:
            call = {"ConditionExpression": "facts = :seen", "ExpressionAttributeValues": {":seen": {"S": seen.text}}}
        with aws_errors():
            try:
                await self._dynamodb.put_item(TableName=self._table, Item={"id": {"S": _KEY}, "facts": {"S": new.text}}, **call)
            except ClientError as wrong:
                if error_code(wrong) != "ConditionalCheckFailedException":
                    raise
                found = await self.read()  # an answer may have been lost, and this be our own repetition
                if found is None or found.text != new.text:
                    raise Overtaken("the stack's facts were changed meanwhile") from wrong
        return new


def table_name(settings: Settings, table: str) -> str:
    """`events`, `snapshots` or `control` of this stack."""
    return f"{settings.stack}-{table}"


async def load_stack(dynamodb: "DynamoDBClient", settings: Settings) -> Stack:
    """Raises ConfigurationError when there is no stack or it is not the one the settings speak of."""
    stack = await read_stack(dynamodb, settings)
    if stack is None:
        raise ConfigurationError([f"HEADRACE_STACK: no stack named {settings.stack} here; run `headrace provision`"])
    agree(settings.partitions, stack)
    return stack


def agree(partitions: int | None, stack: Stack) -> None:
    """Raises ConfigurationError when a process was told another number than the stack has."""
    if partitions is not None and partitions != stack.partitions:
        raise ConfigurationError([f"HEADRACE_PARTITIONS: {partitions}, but the stack has {stack.partitions}"])


async def read_stack(dynamodb: "DynamoDBClient", settings: Settings) -> Stack | None:
    """None when the control table or its item is not there yet."""
    seen = await StackItem(dynamodb, settings).read()
    return None if seen is None else seen.stack
