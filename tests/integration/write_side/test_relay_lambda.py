"""The Lambda handler as Lambda calls it, on records that a real stream gave."""

import asyncio
from secrets import token_hex
from typing import Any
from unittest.mock import Mock

import pytest

from runtime import logs
from runtime.aws import open_aws
from runtime.errors import ConfigurationError
from runtime.stack import table_name
from tests.integration.write_side.conftest import LIMIT, WriteSide
from tests.integration.write_side.test_relay import append, arrived
from workers import relay_lambda


class Context:
    """Lambda's."""

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


async def records(write_side: WriteSide, ident: str) -> list[dict[str, Any]]:
    """Of this stream of ours, as Lambda would hand them over."""
    async with open_aws(write_side.settings) as aws:
        dynamodb, streams = await aws.dynamodb(), await aws.streams()
        arn = (await dynamodb.describe_table(TableName=table_name(write_side.settings, "events")))["Table"]["LatestStreamArn"]
        shard = (await streams.describe_stream(StreamArn=arn))["StreamDescription"]["Shards"][-1]["ShardId"]
        iterator = (await streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"))["ShardIterator"]
        found: list[dict[str, Any]] = []
        while len(found) < 2:
            answer: Any = await streams.get_records(ShardIterator=iterator)
            iterator = answer["NextShardIterator"]
            found += [each for each in answer["Records"] if ident in each["dynamodb"]["NewImage"]["stream_id"]["S"]]
    for each in found:
        each["dynamodb"]["ApproximateCreationDateTime"] = each["dynamodb"]["ApproximateCreationDateTime"].timestamp()
    return [each | {"eventSourceARN": arn} for each in found]


async def test_what_lambda_hands_over_reaches_the_projectors(write_side: WriteSide, monkeypatch: pytest.MonkeyPatch) -> None:
    given, ident = write_side.settings, token_hex(8)
    monkeypatch.setattr(relay_lambda, "_PROCESS", [])
    monkeypatch.setattr(logs, "configure", Mock())  # for the whole process: not that of the tests
    monkeypatch.setenv("AWS_ENDPOINT_URL", given.aws_endpoint_url or "")
    monkeypatch.setenv("HEADRACE_STACK", given.stack)
    async with asyncio.timeout(LIMIT):
        sent = await append(write_side, ident)
        event = {"Records": await records(write_side, ident)}
        with pytest.raises(ConfigurationError, match="HEADRACE_RELAY"):
            await asyncio.to_thread(relay_lambda.handler, event, Context())
        monkeypatch.setenv("HEADRACE_RELAY", "lambda")
        for _ in range(2):  # the second call finds everything open
            assert await asyncio.to_thread(relay_lambda.handler, event, Context()) == {"batchItemFailures": []}
        await asyncio.to_thread(relay_lambda._PROCESS[0].close)
        await arrived(write_side.messages("cache"), sent)
