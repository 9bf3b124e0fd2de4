"""The meter against calls that were really made: what they sent and got back is what is counted."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Any

import pytest
from msgspec import Raw

from events.append_calls import append_call
from events.dynamo_store import DynamoStore
from events.envelope import Commit
from events.ids import StreamId, Version
from events.store import Appended
from runtime import metrics
from runtime.aws import Aws, AwsRefused
from runtime.metrics import Tally
from runtime.settings import Settings
from runtime.stack import Stack, load_stack, table_name
from workers.lease import Leases

KB = 1024
TALLIES = {name: value for name, value in vars(metrics).items() if isinstance(value, Tally)}
Counts = dict[tuple[str, ...], float]


@contextmanager
def counted() -> Iterator[Callable[[str], Counts]]:
    """Of a tally, what came to it since the block began."""
    before = {name: dict(tally.counts) for name, tally in TALLIES.items()}

    def since(name: str) -> Counts:
        now = TALLIES[name].counts
        return {labels: count - before[name].get(labels, 0) for labels, count in now.items() if count != before[name].get(labels, 0)}

    yield since


@pytest.fixture
async def facts(aws: Aws, settings: Settings) -> Stack:
    return await load_stack(await aws.dynamodb(), settings)


@pytest.fixture
async def queue(aws: Aws) -> AsyncIterator[tuple[Any, str]]:
    """A queue of the test's own."""
    sqs: Any = await aws.sqs()
    url = (await sqs.create_queue(QueueName=f"meter-{token_hex(4)}.fifo", Attributes={"FifoQueue": "true"}))["QueueUrl"]
    yield sqs, url
    await sqs.delete_queue(QueueUrl=url)


async def send(sqs: Any, url: str, *bodies: str) -> None:
    entries = [
        {"Id": str(n), "MessageBody": body, "MessageGroupId": "g", "MessageDeduplicationId": token_hex(8)} for n, body in enumerate(bodies)
    ]
    await sqs.send_message_batch(QueueUrl=url, Entries=entries)


async def test_sqs_bills_64_kb_of_payload_both_ways_and_what_brings_nothing(queue: tuple[Any, str]) -> None:
    sqs, url = queue
    with counted() as since:
        await send(sqs, url, "x" * 64 * KB)
        await send(sqs, url, "é" * 32 * KB, "y")
        await sqs.send_message(QueueUrl=url, MessageBody="z" * 128 * KB, MessageGroupId="g", MessageDeduplicationId="1")
        assert since("AWS_REQUESTS") == {("sqs", "SendMessageBatch"): 2, ("sqs", "SendMessage"): 1}
        assert since("AWS_CHUNKS") == {("sqs", "SendMessageBatch"): 1 + 2, ("sqs", "SendMessage"): 2}
    with counted() as since:
        got = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        assert len(got["Messages"]) == 4
        assert since("AWS_CHUNKS") == {("sqs", "ReceiveMessage"): 5}
        assert since("EMPTY_RECEIVES") == {}
        await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        assert since("AWS_CHUNKS") == {("sqs", "ReceiveMessage"): 6}
        assert since("EMPTY_RECEIVES") == {(): 1}


async def test_sns_counts_messages_bytes_and_64_kb_of_a_batch(aws: Aws) -> None:
    sns: Any = await aws.sns()
    arn = (await sns.create_topic(Name=f"meter-{token_hex(4)}.fifo", Attributes={"FifoTopic": "true"}))["TopicArn"]
    bodies = ["x" * 60 * KB, "é" * 3 * KB]
    entries = [{"Id": str(n), "Message": body, "MessageGroupId": "g", "MessageDeduplicationId": str(n)} for n, body in enumerate(bodies)]
    with counted() as since:
        await sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)
        assert since("AWS_CHUNKS") == {("sns", "PublishBatch"): 2}
        assert (since("SNS_MESSAGES"), since("SNS_BYTES")) == ({(): 2}, {(): 66 * KB})
    await sns.delete_topic(TopicArn=arn)


def commit(size: int = 0) -> Commit:
    return Commit(StreamId(f"comment-{token_hex(8)}"), Version(1), Version(1), Version(0), Raw(b'"' + b"x" * size + b'"'))


async def test_a_put_that_is_refused_costs_what_one_that_is_made_does(aws: Aws, settings: Settings) -> None:
    table, one = table_name(settings, "events"), commit(2 * KB)
    call = append_call("put:1", await aws.dynamodb_appending(), table)
    with counted() as since:
        assert [*await call([one]), *await call([one])] == [Appended.YES, Appended.CONFLICT]
        assert since("WRITE_UNITS") == since("WRITE_UNITS_AS_RUN") == {(table,): 6}


async def test_a_transaction_costs_twice_what_the_same_commits_do_by_partiql(aws: Aws, settings: Settings) -> None:
    table = table_name(settings, "events")
    call = append_call("transact:25", await aws.dynamodb_appending(), table)
    taken, other = commit(), commit(KB)
    with counted() as since:
        assert await call([taken]) == [Appended.YES]
        assert (since("WRITE_UNITS"), since("WRITE_UNITS_AS_RUN")) == ({(table,): 1}, {(table,): 2})
        assert await call([taken, other]) == [Appended.CONFLICT, Appended.NO]
        # The other was written by neither way so far; cancelled, it was billed all the same.
        assert (since("WRITE_UNITS"), since("WRITE_UNITS_AS_RUN")) == ({(table,): 2}, {(table,): 2 + 6})
        assert await call([other]) == [Appended.YES]
        assert (since("WRITE_UNITS"), since("WRITE_UNITS_AS_RUN")) == ({(table,): 4}, {(table,): 8 + 4})


async def test_partiql_costs_the_same_as_it_is_run(aws: Aws, settings: Settings) -> None:
    table = table_name(settings, "events")
    with counted() as since:
        with suppress(AwsRefused):  # not every backend has it
            await append_call("partiql:25", await aws.dynamodb_appending(), table)([commit(), commit(KB)])
        assert since("WRITE_UNITS") == since("WRITE_UNITS_AS_RUN") == {(table,): 3}


async def test_reads_are_by_4_kb_and_twice_as_much_when_consistent(aws: Aws, settings: Settings) -> None:
    table, dynamodb = table_name(settings, "events"), await aws.dynamodb()
    call = append_call("put:1", await aws.dynamodb_appending(), table)
    store = DynamoStore(dynamodb, table, call, table_name(settings, "snapshots"))
    small, large = commit(), commit(5 * KB)
    await store.append([small, large])
    with counted() as since:
        await store.load(large.stream)
        assert since("READ_UNITS") == {(table,): 2}
        await store.load(StreamId("comment-none"))
        assert since("READ_UNITS") == {(table,): 3}
        await store.read([(small.stream, Version(1)), (large.stream, Version(1)), (StreamId("comment-none"), Version(1))])
        assert since("READ_UNITS") == {(table,): 3 + 1 + 2 + 1}
    key: Any = {"stream_id": {"S": large.stream}, "first_version": {"N": "1"}}
    with counted() as since:
        await dynamodb.get_item(TableName=table, Key=key)
        assert since("READ_UNITS") == {(table,): 1}
        await dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)
        assert since("READ_UNITS") == {(table,): 3}


async def test_leases_are_written_and_read_too(aws: Aws, settings: Settings) -> None:
    table = table_name(settings, "control")
    leases = Leases(await aws.dynamodb(), table, "me", 10)
    with counted() as since:
        key = f"lease#{token_hex(4)}"
        await leases.take((await leases.read([key]))[key])
        assert (since("WRITE_UNITS"), since("READ_UNITS")) == ({(table,): 1}, {(table,): 1})


async def test_reads_of_a_stream_that_bring_nothing_are_told_apart(aws: Aws, settings: Settings) -> None:
    dynamodb, streams = await aws.dynamodb(), await aws.streams()
    arn = (await dynamodb.describe_table(TableName=table_name(settings, "events")))["Table"]["LatestStreamArn"]
    shard = (await streams.describe_stream(StreamArn=arn))["StreamDescription"]["Shards"][-1]["ShardId"]
    iterator = (await streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="LATEST"))["ShardIterator"]
    with counted() as since:
        assert not (await streams.get_records(ShardIterator=iterator))["Records"]
        assert since("EMPTY_STREAM_READS") == {(): 1}
        assert since("AWS_REQUESTS") == {("dynamodbstreams", "GetRecords"): 1}


async def test_a_role_prints_them_under_their_names(aws: Aws, facts: Stack) -> None:
    sqs: Any = await aws.sqs()
    await sqs.get_queue_attributes(QueueUrl=facts.queues["rds"], AttributeNames=["All"])
    count = metrics.AWS_REQUESTS.counts["sqs", "GetQueueAttributes"]
    assert f'headrace_aws_requests_total{{call="GetQueueAttributes",service="sqs"}} {count}\n' in metrics.exposition().decode()
