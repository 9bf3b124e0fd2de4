"""The three ways to append many commits, each conditional on the key not existing; provision settles which one a stack uses.

What an answer means is the caller's first rule: anything but a clear yes or a clear no is *unknown*. None of these calls is
ever repeated by the SDK.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import ClientError

from events.dynamo_items import Item, to_item
from events.envelope import Commit
from events.item_size import commit_units
from events.store import Appended
from runtime.aws import AwsThrottled, AwsUnavailable, aws_errors, error_code, is_throttle
from runtime.aws_metering import count_append
from runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

PUTS_AT_ONCE: Final = 16
_TWICE: Final = 2  # a transaction writes every item twice, and is billed so even when it is cancelled
_AGAIN: Final = (Appended.NO, Appended.BUSY)
_FRESH: Final = "attribute_not_exists(stream_id)"


class AppendCall(Protocol):
    """One request's worth of commits, at most `most` of them, in; one answer a commit out."""

    most: int

    async def __call__(self, commits: Sequence[Commit]) -> list[Appended]: ...


def append_call(mode: str, dynamodb: "DynamoDBClient", table: str) -> AppendCall:
    """`mode` as the stack's facts have it: `partiql:25`, `transact:N`, `put:1`."""
    kind, _, most = mode.partition(":")
    if kind == "partiql":
        return PartiqlInsert(dynamodb, table, int(most))
    if kind == "transact":
        return TransactPut(dynamodb, table, int(most))
    if kind == "put":
        return SinglePuts(dynamodb, table)
    raise ConfigurationError([f"the stack appends by {mode}, which this version does not know"])


class PartiqlInsert:
    """BatchExecuteStatement: independent INSERTs at standard write units; a taken key is DuplicateItem, per statement."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, most: int = 25) -> None:
        self.most, self._dynamodb, self._table = most, dynamodb, table

    async def __call__(self, commits: Sequence[Commit]) -> list[Appended]:
        units = sum(map(commit_units, commits))
        count_append(self._table, units, units)
        try:
            with aws_errors():
                answer = await self._dynamodb.batch_execute_statement(Statements=[self._statement(to_item(commit)) for commit in commits])
        except AwsThrottled:
            return [Appended.BUSY] * len(commits)
        except AwsUnavailable:
            return [Appended.UNKNOWN] * len(commits)
        return [_partiql_answer(each) for each in answer["Responses"]]

    def _statement(self, item: Item) -> Any:
        # The table's name is our own and the attributes' are constants; every value is a parameter.
        names = ", ".join(f"'{name}': ?" for name in item)
        return {"Statement": f'INSERT INTO "{self._table}" VALUE {{{names}}}', "Parameters": list(item.values())}


def _partiql_answer(response: Any) -> Appended:
    code = str(response.get("Error", {}).get("Code", ""))
    if not code:
        return Appended.YES
    return Appended.CONFLICT if code.startswith("DuplicateItem") else _no_or_unknown(code)


def _no_or_unknown(code: str) -> Appended:
    """Of one statement that was not carried out for a reason of the moment; any other error is not to be trusted."""
    return Appended.BUSY if is_throttle(code) or code.startswith("TransactionConflict") else Appended.UNKNOWN


class TransactPut:
    """TransactWriteItems: all or nothing at double write units; for backends whose PartiQL is missing or unstreamed."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, most: int) -> None:
        self.most, self._dynamodb, self._table = most, dynamodb, table

    async def __call__(self, commits: Sequence[Commit]) -> list[Appended]:
        answers = await self._put(commits)
        units = list(map(commit_units, commits))
        # What a cancelled transaction left out comes again; as single statements it would have been written the first time.
        single = sum(each for each, answer in zip(units, answers, strict=True) if answer not in _AGAIN)
        count_append(self._table, single, as_run=_TWICE * sum(units))
        return answers

    async def _put(self, commits: Sequence[Commit]) -> list[Appended]:
        puts: Any = [{"Put": {"TableName": self._table, "Item": to_item(commit), "ConditionExpression": _FRESH}} for commit in commits]
        try:
            with aws_errors():
                try:
                    await self._dynamodb.transact_write_items(TransactItems=puts)
                except ClientError as wrong:
                    if error_code(wrong) != "TransactionCanceledException":
                        raise
                    return _cancelled(wrong, len(commits))
        except AwsThrottled:
            return [Appended.BUSY] * len(commits)
        except AwsUnavailable:
            return [Appended.UNKNOWN] * len(commits)
        return [Appended.YES] * len(commits)


def _cancelled(wrong: ClientError, count: int) -> list[Appended]:
    """A cancelled transaction wrote nothing; the reasons say who stood in the way."""
    reasons = wrong.response.get("CancellationReasons", [])
    if len(reasons) != count:
        return [Appended.UNKNOWN] * count
    return [_reason(str(reason.get("Code", ""))) for reason in reasons]


def _reason(code: str) -> Appended:
    if code.startswith("ConditionalCheckFailed"):
        return Appended.CONFLICT
    return Appended.BUSY if is_throttle(code) or code.startswith("TransactionConflict") else Appended.NO


class SinglePuts:
    """Conditional PutItem, several at once: the plainest call, where the other two cannot be had."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self.most, self._dynamodb, self._table = PUTS_AT_ONCE, dynamodb, table

    async def __call__(self, commits: Sequence[Commit]) -> list[Appended]:
        return list(await asyncio.gather(*map(self._put, commits)))

    async def _put(self, commit: Commit) -> Appended:
        try:
            with aws_errors():
                try:
                    await self._dynamodb.put_item(TableName=self._table, Item=to_item(commit), ConditionExpression=_FRESH)
                except ClientError as wrong:
                    if error_code(wrong) != "ConditionalCheckFailedException":
                        raise
                    return Appended.CONFLICT
        except AwsThrottled:
            return Appended.BUSY
        except AwsUnavailable:
            return Appended.UNKNOWN
        return Appended.YES
