"""What was set aside on real SQS: looked at without being taken, and sent back where it belongs; and the notes of trials."""

import asyncio
import json
from secrets import token_hex
from time import time
from typing import Any

import pytest

from events.outcome import Status
from events.parcel import encode_command, pack_commands
from headrace.dead.alone import Redriving, alone
from headrace.dead.opening import shown
from headrace.dead.redriving import look, redrive
from runtime.aws import open_aws
from runtime.stack import table_name
from tests.integration.write_side.conftest import LIMIT, Running, WriteSide
from tests.support.said import create, update
from workers import dead_letters
from workers.dead_letters import DeadLetter, DeadLetters
from workers.queue import Queue, most_receives
from workers.trials import KEPT_SECONDS, DynamoTrials, Trial


def queue_of(write_side: WriteSide) -> Queue:
    urls = (write_side.facts.queues["commands"], write_side.facts.queues["commands-dead"])
    return Queue(write_side.sqs, write_side.sqs, urls, 30)


async def test_dead_letters_are_listed_again_and_again_and_then_redriven(write_side: WriteSide, running: Running) -> None:
    queue = queue_of(write_side)
    idents = [token_hex(4) for _ in range(13)]
    for number, ident in enumerate(idents):
        body = pack_commands(0, [encode_command(create(ident, key=f"k-{ident}"))])  # type: ignore[arg-type]  # whichever partition
        await queue.bury_body(body, f"once-{ident}", f"reason {number}", number)
    await queue.bury_body("no parcel", f"once-{token_hex(4)}", "not a parcel", 1)
    for _ in range(2):
        depth, letters = await look(write_side.sqs, write_side.facts, "commands", 100)
        opened = [shown("commands", letter) for letter in letters]
        assert depth == len(opened) == 14
        assert {command["id"] for each in opened for command in each.get("commands", ())} == {f"k-{ident}" for ident in idents}
        said = {(each["reason"], each["receives"]) for each in opened}
        assert said == {*((f"reason {number}", number) for number in range(13)), ("not a parcel", 1)}
        assert sum("unreadable" in each for each in opened) == 1
    one = await redrive(write_side.sqs, write_side.facts, "commands", {f"k-{idents[3]}", "nobody"}, 100)
    assert (len(one.sent), one.stuck, one.found) == (1, {}, {f"k-{idents[3]}"})
    rest = await redrive(write_side.sqs, write_side.facts, "commands", set(), 100)
    assert (len(rest.sent), list(rest.stuck.values())) == (12, [*rest.stuck.values()])
    assert len(rest.stuck) == 1
    found = []
    async with asyncio.timeout(LIMIT), write_side.notices() as notices, running("commands"):
        async for notice in notices:
            found.append(notice)
            if len(found) == 13:
                break
    assert {each.command_id for each in found} == {f"k-{ident}" for ident in idents}
    assert {each.outcome.status for each in found} == {Status.APPLIED}
    async for message in write_side.messages("commands-dead"):
        assert message["Body"] == "no parcel"
        break


async def test_a_message_of_many_commands_may_be_redriven_after_some_of_them_acted(write_side: WriteSide, running: Running) -> None:
    """Each is decided on the whole stream: what acted is told what it came to, and does not act again."""
    ident = token_hex(4)
    first, second = create(ident), update(ident, "b")
    async with asyncio.timeout(LIMIT), write_side.notices() as notices:
        await write_side.send([first])
        async with running("commands"):
            await anext(notices)
            await queue_of(write_side).bury_body(pack_commands(0, [encode_command(first), encode_command(second)]), token_hex(8), "r", 1)  # type: ignore[arg-type]
            await redrive(write_side.sqs, write_side.facts, "commands", {first.id}, 100)
            told = [await anext(notices), await anext(notices)]
    assert [(each.outcome.status, each.outcome.version) for each in told] == [(Status.APPLIED, 1), (Status.APPLIED, 2)]
    assert len(await write_side.store.load(first.stream)) == 2


async def test_notes_of_a_trial_stay_until_they_are_forgotten(write_side: WriteSide) -> None:
    async with open_aws(write_side.settings) as aws:
        dynamodb, table = await aws.dynamodb(), table_name(write_side.settings, "control")
        trials = DynamoTrials(dynamodb, table)
        message = token_hex(8)
        assert await trials.read(message) == Trial()
        noted = Trial(["a", "b"], {"c"}, {"d": 1}, {"e"})
        await trials.write(message, noted)
        assert await trials.read(message) == noted
        key = {"id": {"S": f"trial#{message}"}}
        item: Any = await dynamodb.get_item(TableName=table, Key=key)
        assert 0 <= time() + KEPT_SECONDS - int(item["Item"]["expires_at"]["N"]) < LIMIT
        await trials.forget(message)
        assert await trials.read(message) == Trial()


class Slow:
    """An SQS that takes its time for every message sent."""

    def __init__(self, sqs: Any, seconds: float) -> None:
        self._sqs, self._seconds = sqs, seconds
        self.sending = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)

    async def send_message(self, **call: Any) -> Any:
        self.sending.set()
        await asyncio.sleep(self._seconds)
        return await self._sqs.send_message(**call)


async def test_a_redrive_that_takes_long_keeps_what_it_has(
    write_side: WriteSide, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one finds nothing to send meanwhile."""
    monkeypatch.setattr(dead_letters, "HIDDEN_SECONDS", 2)
    monkeypatch.setattr(dead_letters, "AGAIN_SECONDS", 0.2)
    idents, queue, slow = [token_hex(4) for _ in range(6)], queue_of(write_side), Slow(write_side.sqs, 0.6)
    for ident in idents:
        body = pack_commands(0, [encode_command(create(ident, key=f"k-{ident}"))])  # type: ignore[arg-type]  # whichever partition
        await queue.bury_body(body, ident, "r", 1)
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(redrive(slow, write_side.facts, "commands", {f"k-{each}" for each in idents}, 100))  # type: ignore[arg-type]
        await slow.sending.wait()
        await asyncio.sleep(2.2)  # what was held at first is held no longer
        second = await redrive(write_side.sqs, write_side.facts, "commands", {f"k-{each}" for each in idents}, 100)
        assert not first.done()
    assert (len(first.result().sent), first.result().stuck, second.found) == (6, {}, set())
    async with asyncio.timeout(LIMIT), write_side.notices() as notices, running("commands"):
        assert {(await anext(notices)).command_id for _ in idents} == {f"k-{each}" for each in idents}


async def test_what_sqs_gave_up_says_so_and_no_more(write_side: WriteSide) -> None:
    suffix = token_hex(4)
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    dead = (await write_side.sqs.create_queue(QueueName=f"dead-{suffix}.fifo", Attributes=attributes))["QueueUrl"]
    arn = (await write_side.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"]))["Attributes"]["QueueArn"]
    policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})}
    url = (await write_side.sqs.create_queue(QueueName=f"live-{suffix}.fifo", Attributes=attributes | policy))["QueueUrl"]
    await write_side.sqs.send_message(QueueUrl=url, MessageBody="given up", MessageGroupId="g")
    await write_side.sqs.send_message(QueueUrl=dead, MessageBody="by hand", MessageGroupId="h")
    async with asyncio.timeout(LIMIT):
        for _ in range(2):
            await write_side.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=5)
        await write_side.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
        letters = DeadLetters(write_side.sqs, dead, await most_receives(write_side.sqs, url))
        found: dict[str, DeadLetter] = {}
        while len(found) < 2:
            taken = await letters.take(10)
            found |= {each.body: each for each in taken}
            await letters.release(taken)
    assert found["given up"].reason == "SQS gave it up: its queue allows 2 receives, and it was never deleted"
    assert found["by hand"].reason == "not said"
    assert [each.receives for each in found.values()] == [None, None]


async def test_one_redrive_at_a_time(write_side: WriteSide) -> None:
    async with open_aws(write_side.settings) as aws:
        dynamodb, table = await aws.dynamodb(), table_name(write_side.settings, "control")
        async with alone(dynamodb, table):
            with pytest.raises(Redriving):
                async with alone(dynamodb, table):
                    raise AssertionError
        killed: Any = {"id": {"S": "redrive"}, "holder": {"S": "somebody"}, "expires_at": {"N": str(int(time()) - 1)}}
        await dynamodb.put_item(TableName=table, Item=killed)
        async with alone(dynamodb, table):
            pass
        assert "Item" not in await dynamodb.get_item(TableName=table, Key={"id": {"S": "redrive"}})
