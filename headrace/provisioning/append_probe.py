"""How does this backend append? Tried on a table of its own, made for the question and dropped after it.

A way counts only when its commits arrive, a taken key is refused, *and* the record shows in the table's stream: an emulator may
accept an append that its stream never tells of, and every view would stay empty.
"""

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from msgspec import Raw

from events.append_calls import AppendCall, append_call
from events.envelope import Commit
from events.ids import StreamId, Version
from events.store import Appended
from runtime import logs
from runtime.aws import Aws, AwsRefused, AwsUnavailable, aws_errors
from runtime.errors import Fatal
from runtime.settings import Settings
from runtime.stack import table_name

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

MODES: Final = ("partiql:25", "transact:100", "transact:25", "transact:10", "put:1")
SEEN_WITHIN: Final = 3.0  # seconds; AWS shows a record in well under one


class NoWayToAppend(Fatal):
    """None of the append calls works here."""


async def settle_append(aws: Aws, settings: Settings) -> str:
    """The first of MODES that works whole; says which and why the others did not."""
    log = logs.get("provision")
    dynamodb, streams = await aws.dynamodb_appending(), await aws.streams()
    table = f"{table_name(settings, 'probe')}-{secrets.token_hex(4)}"
    stream = await _create(dynamodb, table)
    try:
        for mode in MODES:
            fault = await _fault(append_call(mode, dynamodb, table), dynamodb, streams, stream)
            log.info("append call probed", action="probe_append", mode=mode, works=not fault, fault=fault)
            if not fault:
                return mode
    finally:
        with aws_errors():
            await dynamodb.delete_table(TableName=table)
    raise NoWayToAppend("neither PartiQL, transactions nor conditional puts append here with a record in the stream")


async def _create(dynamodb: "DynamoDBClient", table: str) -> str:
    with aws_errors():
        await dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "stream_id", "AttributeType": "S"},
                {"AttributeName": "first_version", "AttributeType": "N"},
            ],
            KeySchema=[
                {"AttributeName": "stream_id", "KeyType": "HASH"},
                {"AttributeName": "first_version", "KeyType": "RANGE"},
            ],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        await dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        return (await dynamodb.describe_table(TableName=table))["Table"]["LatestStreamArn"]


async def _fault(call: AppendCall, dynamodb: "DynamoDBClient", streams: "DynamoDBStreamsClient", stream: str) -> str:
    """Why this call will not do; empty when it does."""
    del dynamodb
    commits = [_probe_commit() for _ in range(call.most)]
    try:
        first = await call(commits)
        again = await call(commits[:1])
    except (AwsRefused, AwsUnavailable) as wrong:
        return str(wrong)[:200]
    if any(each is not Appended.YES for each in first):
        return f"an append to free keys came to {sorted({each.value for each in first})}"
    if again != [Appended.CONFLICT]:
        return f"a taken key came to {again[0].value}"
    if not await _streamed(streams, stream, {commit.stream for commit in commits}):
        return "its commits do not show in the table's stream"
    return ""


def _probe_commit() -> Commit:
    name = StreamId(f"probe-{secrets.token_hex(8)}")
    return Commit(stream=name, first=Version(1), last=Version(1), previous=Version(0), events=Raw(b"[]"))


async def _streamed(streams: "DynamoDBStreamsClient", arn: str, wanted: set[StreamId]) -> bool:
    """Whether all of `wanted` show in the stream in time."""
    missing = set(wanted)
    try:
        async with asyncio.timeout(SEEN_WITHIN):
            with aws_errors():
                shards = (await streams.describe_stream(StreamArn=arn))["StreamDescription"]["Shards"]
                iterators = [
                    (await streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"))[
                        "ShardIterator"
                    ]
                    for shard in shards
                ]
                while missing and iterators:
                    pages = [await streams.get_records(ShardIterator=each) for each in iterators]
                    for page in pages:
                        missing -= {StreamId(r["dynamodb"]["NewImage"]["stream_id"]["S"]) for r in page["Records"]}
                    iterators = [page["NextShardIterator"] for page in pages if page.get("NextShardIterator")]
                    if missing:
                        await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return not missing
