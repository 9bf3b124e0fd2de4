"""What was set aside on real SQS: looked at without being taken, and sent back where it belongs; and the notes of trials."""

import asyncio
from secrets import token_hex
from time import time
from typing import Any

from events.outcome import Status
from events.parcel import encode_command, pack_commands
from headrace.dead.opening import shown
from headrace.dead.redriving import look, redrive
from runtime.aws import open_aws
from runtime.stack import table_name
from tests.integration.write_side.conftest import LIMIT, Running, WriteSide
from tests.support.said import create, update
from workers.queue import Queue
from workers.trials import KEPT_SECONDS, DynamoTrials, Trial


def queue_of(write_side: WriteSide) -> Queue:
    urls = (write_side.facts.queues["commands"], write_side.facts.queues["commands-dead"])
    return Queue(write_side.sqs, write_side.sqs, urls, 30)


async def test_dead_letters_are_listed_again_and_again_and_then_redriven(write_side: WriteSide, running: Running) -> None:
    queue = queue_of(write_side)
    idents = [token_hex(4) for _ in range(13)]
    for number, ident in enumerate(idents):
        body = pack_commands(0, [encode_command(create(ident, key=f"k-{ident}"))])  # type: ignore[arg-type]  # whichever partition
        await queue.bury_body(body, f"once-{ident}", f"reason {number}")
    await queue.bury_body("no parcel", f"once-{token_hex(4)}", "not a parcel")
    for _ in range(2):
        depth, letters = await look(write_side.sqs, write_side.facts, "commands", 100)
        opened = [shown("commands", letter) for letter in letters]
        assert depth == len(opened) == 14
        assert {command["id"] for each in opened for command in each.get("commands", ())} == {f"k-{ident}" for ident in idents}
        assert {each["reason"] for each in opened} == {*(f"reason {number}" for number in range(13)), "not a parcel"}
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
            await queue_of(write_side).bury_body(pack_commands(0, [encode_command(first), encode_command(second)]), token_hex(8), "r")  # type: ignore[arg-type]
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
