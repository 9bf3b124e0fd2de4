"""A worker that is killed when its append was answered and its message not yet deleted: the message comes again and changes nothing."""

import asyncio
from secrets import token_hex

from events.outcome import Status
from tests.integration.write_side.conftest import WriteSide
from tests.support.fault_proxy import fault_proxy
from tests.support.lone_worker import command_worker
from tests.support.said import create, delete, update

SECONDS = 60
DELETE = "sqs.DeleteMessageBatch"


async def left(write_side: WriteSide) -> int:
    """Messages on the queue, those in hand too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = await write_side.sqs.get_queue_attributes(QueueUrl=write_side.facts.queues["commands"], AttributeNames=names)
    return sum(map(int, answer["Attributes"].values()))


async def test_the_redelivery_is_a_no_op(write_side: WriteSide) -> None:
    ident = token_hex(8)
    said = [create(ident), update(ident, "b"), update(ident, "b"), delete(ident, actor="bob")]
    outcomes = []
    assert write_side.settings.aws_endpoint_url is not None
    async with (
        asyncio.timeout(SECONDS),
        fault_proxy(write_side.settings.aws_endpoint_url) as proxy,
        write_side.notices() as notices,
    ):
        proxy.hold(DELETE)
        await write_side.send(said)
        async with command_worker(write_side.settings, proxy.url) as doomed:
            await proxy.arrived.wait()
            doomed.kill()
            await doomed.wait()
        stored = await write_side.store.load(said[0].stream)
        assert [(each.first, each.last) for each in stored] == [(1, 2)]
        assert (proxy.seen[DELETE], await left(write_side)) == (1, 1)
        outcomes += [(await anext(notices)).outcome for _ in said]
        appends = proxy.appends
        proxy.hold("")
        async with command_worker(write_side.settings, proxy.url):
            outcomes += [(await anext(notices)).outcome for _ in said]
    assert await left(write_side) == 0
    assert [(each.status, each.version, each.reason) for each in outcomes[:4]] == [
        (Status.APPLIED, 1, ""),
        (Status.APPLIED, 2, ""),
        (Status.APPLIED, 2, ""),
        (Status.REJECTED, 2, "not_the_author"),
    ]
    assert outcomes[4:] == outcomes[:4]
    assert await write_side.store.load(said[0].stream) == stored
    assert proxy.seen[DELETE] == 2
    assert proxy.appends <= appends + 1  # a creation is guessed to be the first, which the store refuses
