"""What a client of each server costs when it does nothing else. `python -m loadtest.bench.alone ITEMS`; one JSON line.

A stack of its own (HEADRACE_STACK) is provisioned for it, so that the append is the one such a stack settled on.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import asyncpg
import msgspec
import redis.asyncio
import uvloop

from events.append_calls import append_call
from events.envelope import Commit
from events.ids import Partition
from events.parcel import encode_command, encode_commit, pack_commands, pack_commits
from events.store import Appended
from headrace.provision import provision
from loadtest.bench.ceilings import PASSES, Ceiling, cheapest
from loadtest.bench.job import TEXT
from loadtest.bench.samples import MESSAGES, command_of, commit_of, entries_of, parts_of, passes_of
from runtime.aws import open_aws
from runtime.errors import Fatal
from runtime.settings import Settings, load
from runtime.stack import Stack

PARCEL: Final = 30
"""Commands, or commits, of one parcel: what 16 partitions gather at 2,000 a second in 250 ms."""
CALLS_AT_ONCE: Final = 4
BULK: Final = 500
"""Rows of one insert, keys of one pipeline."""
EMPTY_ROUNDS: Final = 50
"""Of all shards of a stream, one after the other: all has been read."""
_GROUPS: Final = 8


class Unmeasured(Fatal):
    """A call did not do what it was measured for."""


async def measured(does: str, items: int, work: Callable[[], Awaitable[None]]) -> Ceiling:
    """Of work that is `items` items."""
    cpu, began = time.process_time(), time.monotonic()
    await work()
    took, spent = time.monotonic() - began, time.process_time() - cpu
    return Ceiling(does, items / took, spent / items * 1e6)


async def at_once(calls: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """All of them, a few at a time; their answers in order."""
    free = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(call: Callable[[], Awaitable[Any]]) -> Any:
        async with free:
            return await call()

    return list(await asyncio.gather(*(one(call) for call in calls)))


async def main(items: int) -> None:
    """All of them, one after the other."""
    settings = load()
    stack = await provision(settings)
    found = {
        **await appending(settings, stack, items),
        **await queueing(settings, stack, items),
        **await publishing(settings, stack, items),
        **await remembering(settings, items * 5),
        "insert": await inserting(settings, items * 5),
    }
    print(msgspec.json.encode(found).decode(), flush=True)


async def appending(settings: Settings, stack: Stack, items: int) -> dict[str, Ceiling]:
    """The event store's append, and reading it back from the stream."""
    async with open_aws(settings) as aws:
        dynamodb, streams = await aws.dynamodb_appending(), await aws.streams()
        call = append_call(stack.append, dynamodb, f"{settings.stack}-events")

        async def append(commits: Sequence[Commit]) -> None:
            calls = [partial(call, part) for part in parts_of(commits, call.most)]
            if any(answer is not Appended.YES for answers in await at_once(calls) for answer in answers):
                raise Unmeasured("an append was not taken")

        passes = [[commit_of(number) for number in numbers] for numbers in passes_of(items)]
        appended = [await measured(f"conditional append, {stack.append} a call", items, partial(append, commits)) for commits in passes]
        arn = (await dynamodb.describe_table(TableName=f"{settings.stack}-events"))["Table"]["LatestStreamArn"]
        read = partial(_read_stream, streams, await _iterators(streams, arn), items * PASSES)
        seen = [await measured("stream records, 1,000 a call", items * PASSES, read) for _ in passes]
    return {"append": cheapest(appended), "stream": cheapest(seen)}


async def _iterators(streams: Any, arn: str) -> list[str]:
    """At the beginning of every shard."""
    shards = (await streams.describe_stream(StreamArn=arn))["StreamDescription"]["Shards"]
    found: list[str] = []
    for shard in shards:
        where = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        found.append((await streams.get_shard_iterator(**where))["ShardIterator"])
    return found


async def _read_stream(streams: Any, iterators: Sequence[str], items: int) -> None:
    """A page of every shard in turn until all items were seen: what comes after a shard's end costs calls too."""
    seen = empty = 0
    while iterators and seen < items and empty < EMPTY_ROUNDS:
        pages = [await streams.get_records(ShardIterator=each, Limit=1000) for each in iterators]
        found = sum(len(page["Records"]) for page in pages)
        seen, empty = seen + found, 0 if found else empty + 1
        iterators = [following for page in pages if (following := page.get("NextShardIterator"))]
    if seen < items:
        raise Unmeasured(f"the stream showed {seen} of {items} items")


async def queueing(settings: Settings, stack: Stack, items: int) -> dict[str, Ceiling]:
    """Parcels of commands into the queue, and out of it."""
    url = stack.queues["commands"]
    sent, received = [], []
    async with open_aws(settings) as aws:
        sqs, polling = await aws.sqs(), await aws.sqs_polling()

        async def send(entries: Sequence[Any]) -> None:
            await at_once([partial(sqs.send_message_batch, QueueUrl=url, Entries=part) for part in parts_of(entries, MESSAGES)])

        async def receive(parcels: int) -> None:
            left = parcels
            while left > 0:
                found = (await polling.receive_message(QueueUrl=url, MaxNumberOfMessages=MESSAGES, WaitTimeSeconds=5)).get("Messages", [])
                if not found:
                    raise Unmeasured(f"the queue did not give {left} of {parcels} parcels")
                receipts: Any = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(found)]
                await sqs.delete_message_batch(QueueUrl=url, Entries=receipts)
                left -= len(found)

        for numbers in passes_of(items):
            bodies = [encode_command(command_of(number)) for number in numbers]
            entries = entries_of(
                "MessageBody", [pack_commands(Partition(n % 16), part) for n, part in enumerate(parts_of(bodies, PARCEL))], 16, numbers
            )
            sent.append(await measured(f"ten parcels of {PARCEL} commands a call", items, partial(send, entries)))
            received.append(await measured(f"receive and delete, ten parcels of {PARCEL}", items, partial(receive, len(entries))))
    return {"send": cheapest(sent), "receive": cheapest(received)}


async def publishing(settings: Settings, stack: Stack, items: int) -> dict[str, Ceiling]:
    """Parcels of commits to the topic, with the stack's own subscriptions."""
    published = []
    async with open_aws(settings) as aws:
        sns: Any = await aws.sns()

        async def publish(entries: Sequence[Any]) -> None:
            calls = [
                partial(sns.publish_batch, TopicArn=stack.topic_arn, PublishBatchRequestEntries=part)
                for part in parts_of(entries, MESSAGES)
            ]
            await at_once(calls)

        for numbers in passes_of(items):
            bodies = [encode_commit(commit_of(number)) for number in numbers]
            parcels = [pack_commits(Partition(n % _GROUPS), part) for n, part in enumerate(parts_of(bodies, PARCEL))]
            entries = entries_of("Message", parcels, _GROUPS, numbers)
            published.append(await measured(f"ten parcels of {PARCEL} commits a call", items, partial(publish, entries)))
    return {"publish": cheapest(published)}


async def remembering(settings: Settings, items: int) -> dict[str, Ceiling]:
    """A key with an expiry each: pipelined, and by one script a call, which spares the client a command an item."""
    client: Any = redis.asyncio.from_url(settings.redis_url)
    script = client.register_script("for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'EX', 60) end")

    async def pipeline() -> None:
        for part in parts_of(range(items), BULK):
            async with client.pipeline(transaction=False) as pipe:
                for number in part:
                    pipe.set(f"ceilings:{number}", "pending", ex=60)
                await pipe.execute()

    async def scripted() -> None:
        for part in parts_of(range(items), BULK):
            await script(keys=[f"ceilings:{number}" for number in part], args=["pending"])

    try:
        return {
            "pipeline": cheapest([await measured(f"SET with expiry, {BULK} a pipeline", items, pipeline) for _ in range(PASSES)]),
            "script": cheapest([await measured(f"SET with expiry, {BULK} a script call", items, scripted) for _ in range(PASSES)]),
        }
    finally:
        await client.aclose()


async def inserting(settings: Settings, items: int) -> Ceiling:
    """Rows of the size of a comment's, set-based."""
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute("CREATE TABLE alone (comment_id text PRIMARY KEY, picture_id text, author text, text text, version bigint)")
    insert = "INSERT INTO alone SELECT id, 'picture', 'bench', text, 1 FROM unnest($1::text[], $2::text[]) AS given (id, text)"

    async def rows(numbers: range) -> None:
        for part in parts_of(numbers, BULK):
            await connection.execute(insert, [f"alone-{number:06}" for number in part], [TEXT] * len(part))

    try:
        passes = passes_of(items)
        return cheapest([await measured(f"{BULK} rows a statement, own transaction", items, partial(rows, numbers)) for numbers in passes])
    finally:
        await connection.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
