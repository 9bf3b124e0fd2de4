"""What is written down while commands are tried alone, so that a command which kills its worker is known by the next one.

A note stands in the table `control` under the message's id, only for messages received three times and more; in the usual case none is
read or written. One that nobody forgot expires, after its message can be on no queue any more. `Trial` is pure.
"""

from hashlib import sha256
from time import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec import Struct, field

from events.envelope import Command
from runtime.aws import aws_errors

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

CHANCES: Final = 2
"""Deaths, or errors of ours, of a command that was tried alone; then it is set aside."""
KEPT_SECONDS: Final = 15 * 24 * 60 * 60
"""After it was last written: a day more than a message lives."""
_ITEM: Final = "trial#"


def key_of(command: Command) -> str:
    """Short, and the command's own."""
    return sha256(f"{command.stream}\n{command.actor}\n{command.id}".encode()).hexdigest()[:20]


class Trial(Struct):
    """Of one message. Stored as JSON: add fields with defaults."""

    trying: list[str] = field(default_factory=list)
    """Keys of the commands in hand when this was written. Found there by the next worker: the one before did not survive them."""
    alone: set[str] = field(default_factory=set)
    """Commands that were in such a group of several: each is tried alone from now on."""
    failures: dict[str, int] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    """Commands that were dead-lettered already."""
    by: str = ""
    """The process that wrote it: what it finds of its own is no death."""

    def died(self) -> None:
        """Nobody survived what was tried: one is accused, of several nobody yet."""
        if len(self.trying) == 1:
            self.failed(self.trying[0])
        else:
            self.alone.update(self.trying)
        self.trying = []

    def failed(self, key: str) -> None:
        """Once more, alone."""
        self.failures[key] = self.failures.get(key, 0) + 1

    def condemned(self, key: str) -> bool:
        """It had its chances."""
        return key in self.aside or self.failures.get(key, 0) >= CHANCES

    def groups(self, keys: list[str]) -> list[list[int]]:
        """Places of one stream's commands that may be tried together: all of them, or each alone."""
        return [[place] for place in range(len(keys))] if self.alone.intersection(keys) else [list(range(len(keys)))]


class Trials(Protocol):
    """Where the notes stand. All raise Retryable."""

    async def read(self, message_id: str) -> Trial: ...

    async def write(self, message_id: str, trial: Trial) -> None: ...

    async def forget(self, message_id: str) -> None: ...


class DynamoTrials:
    """In the stack's control table."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb, self._table = dynamodb, table

    async def read(self, message_id: str) -> Trial:
        """An empty one where there is none."""
        with aws_errors():
            answer = await self._dynamodb.get_item(TableName=self._table, Key=_key(message_id), ConsistentRead=True)
        item: Any = answer.get("Item")
        return msgspec.json.decode(item["trial"]["S"], type=Trial) if item else Trial()

    async def write(self, message_id: str, trial: Trial) -> None:
        """Durable when this returns."""
        expires_at = {"N": str(int(time()) + KEPT_SECONDS)}  # the table's TTL attribute
        item: Any = {**_key(message_id), "trial": {"S": msgspec.json.encode(trial).decode()}, "expires_at": expires_at}
        with aws_errors():
            await self._dynamodb.put_item(TableName=self._table, Item=item)

    async def forget(self, message_id: str) -> None:
        """The message will not come again."""
        with aws_errors():
            await self._dynamodb.delete_item(TableName=self._table, Key=_key(message_id))


def _key(message_id: str) -> Any:
    return {"id": {"S": f"{_ITEM}{message_id}"}}
