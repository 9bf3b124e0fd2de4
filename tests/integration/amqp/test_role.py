"""The role as it is put together: from its SQS queue to a real RabbitMQ, through deaths on both sides."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aio_pika import ExchangeType

from events.dynamo_store import DynamoStore, open_store
from events.envelope import Commit
from headrace.local import rabbit_server
from headrace.local.probes import answers
from headrace.local.process import start, stop
from headrace.provision import provision
from readmodel.control import PUBLISHED
from readmodel.database import AUDITING, open_database
from readmodel.writing import of_streams
from runtime.amqp import AmqpAway, open_amqp
from runtime.aws import open_aws
from runtime.errors import ConfigurationError
from runtime.settings import Settings
from runtime.stack import Stack, load_stack
from tests.integration.readmodel.test_roles import Silent
from tests.support.amqp_receiver import SECONDS, firsts, receiving
from tests.unit.readmodel.commits import comment, delivery, history
from workers import projector_amqp
from workers.amqp.exchange import EXCHANGE


@dataclass
class Outlet:
    """A stack with a projector `amqp`, whose role a test runs itself."""

    settings: Settings
    facts: Stack
    store: DynamoStore
    sqs: Any

    async def send(self, group: str, *commits: Commit) -> None:
        """As the relay would have it delivered."""
        await self.sqs.send_message(
            QueueUrl=self.facts.queues["amqp"],
            MessageBody=delivery(*commits).body,
            MessageGroupId=group,
            MessageDeduplicationId=secrets.token_hex(8),
        )

    async def stored(self, *commits: Commit) -> Sequence[Commit]:
        for each in commits:
            await self.store.append([each])
        return commits

    @asynccontextmanager
    async def running(self, settings: Settings | None = None) -> AsyncIterator[Silent]:
        """The role, until the block ends."""
        told, end = settings or self.settings, asyncio.Event()
        ready = Silent(told)
        async with asyncio.TaskGroup() as roles:
            roles.create_task(projector_amqp._serve(told, end, ready))
            try:
                yield ready
            finally:
                end.set()

    async def position(self, stream: str) -> int:
        async with open_database(self.settings, AUDITING) as database, database.engine.connect() as connection:
            found = (await connection.execute(of_streams(PUBLISHED), {"streams": [stream]})).one_or_none()
            return found.version if found else 0

    async def waiting(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await self.sqs.get_queue_attributes(QueueUrl=self.facts.queues["amqp"], AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


@pytest.fixture(scope="module")
async def outlet(settings: Settings, amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outlet]:
    state: Path = tmp_path_factory.mktemp("outlet")
    own = replace(
        settings, stack=f"out{secrets.token_hex(3)}", bind="127.0.0.1:0", state=str(state), visibility_seconds=2, amqp_url=amqp_url
    )
    await provision(own)
    async with open_aws(own) as aws:
        facts = await load_stack(await aws.dynamodb(), own)
        yield Outlet(own, facts, await open_store(aws, facts, own), await aws.sqs())


async def test_what_lies_in_its_queue_is_sent_and_the_queue_is_empty(outlet: Outlet, amqp_url: str) -> None:
    commits = await outlet.stored(*history(comment("sent"), updates=3))
    async with receiving(amqp_url) as receiver:
        await outlet.send("1", *commits[:1])
        await outlet.send("1", commits[3])  # two never come: they are read from the store
        async with outlet.running() as ready:
            await receiver.until(4)
            for check in ready.checks.values():
                await check()
        assert receiver.of_stream(comment("sent")) == [1, 2, 3, 4]
    assert (await outlet.position(comment("sent")), await outlet.waiting()) == (4, 0)


async def test_killed_between_the_confirm_and_the_commit_it_sends_again_under_the_same_ids(outlet: Outlet, amqp_url: str) -> None:
    commits = await outlet.stored(*history(comment("killed"), updates=3))
    async with receiving(amqp_url) as receiver:
        await outlet.send("1", *commits)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.dying_projector", env={**os.environ, **_told(outlet.settings)}
        )
        async with asyncio.timeout(SECONDS):
            assert await process.wait() == -signal.SIGKILL
        await receiver.until(4)
        assert await outlet.position(comment("killed")) == 0
        async with outlet.running():
            await receiver.until(8)
        assert receiver.ids == [f"comment-killed@{version}" for version in (1, 2, 3, 4)] * 2
    assert (await outlet.position(comment("killed")), await outlet.waiting()) == (4, 0)


async def test_a_broker_killed_in_the_middle_loses_nothing(outlet: Outlet, tmp_path: Path) -> None:
    """It comes back on its port with what it had confirmed; streams that were under way are sent again, in order."""
    commits = [each for n in range(300) for each in await outlet.stored(*history(comment(f"broker-{n}"), updates=1))]
    program = rabbit_server.prepare(tmp_path, tmp_path / "rabbitmq.log")
    try:
        process = await start(program)
        try:
            await _durable_queue(program.url)
            parcels = [commits[place : place + 20] for place in range(0, len(commits), 20)]
            for place, parcel in enumerate(parcels[:15]):
                await outlet.send(f"{place % 4}", *parcel)
            async with outlet.running(replace(outlet.settings, amqp_url=program.url)):
                async with receiving(program.url) as receiver:
                    await receiver.until(40)
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
                await _until(lambda: answers(program.probe))
                for place, parcel in enumerate(parcels[15:]):
                    await outlet.send(f"{place % 4}", *parcel)
                process = await start(program)
                await _until(outlet.waiting)
            got = await _kept(program.url)
        finally:
            await stop(process, program.stop_signal, 15.0)
    finally:
        await rabbit_server.remove(program)
    for n in range(300):
        stream = comment(f"broker-{n}")
        assert firsts([int(each.rpartition("@")[2]) for each in got if each.startswith(f"{stream}@")]) == [1, 2], stream


async def test_without_a_broker_it_is_not_ready_keeps_what_it_has_and_ends_when_told(outlet: Outlet, amqp_url: str) -> None:
    commits = await outlet.stored(*history(comment("waiting"), updates=1))
    await outlet.send("1", *commits)
    began = asyncio.get_running_loop().time()
    async with outlet.running(replace(outlet.settings, amqp_url="amqp://127.0.0.1:1/")) as ready:
        await _until(lambda: _unready(ready))
    assert asyncio.get_running_loop().time() - began < SECONDS
    assert (await outlet.position(comment("waiting")), await outlet.waiting()) == (0, 1)
    async with receiving(amqp_url) as receiver, outlet.running():
        await receiver.until(2)
        assert receiver.of_stream(comment("waiting")) == [1, 2]


async def test_without_its_queue_it_does_not_start(settings: Settings, amqp_url: str) -> None:
    told = replace(settings, amqp_url=amqp_url)
    with pytest.raises(ConfigurationError, match="HEADRACE_AMQP_URL: the stack has no queue for it"):
        await projector_amqp._serve(told, asyncio.Event(), Silent(told))


async def _durable_queue(url: str) -> None:
    async with open_amqp(url, "test") as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue("kept", durable=True)  # a quorum queue of 3.10.8 elects no leader after a kill
        await queue.bind(exchange, "#")


async def _kept(url: str) -> list[str]:
    """Ids of what lies in that queue."""
    got = []
    async with open_amqp(url, "test") as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("kept")
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            got.append(str(message.message_id))
    return got


async def _unready(ready: Silent) -> bool:
    """Whether the role has not yet found out that its broker is away."""
    if not hasattr(ready, "checks"):
        return True
    with pytest.raises(AmqpAway):
        await ready.checks["rabbitmq"]()
    return False


async def _until(left: Any) -> None:
    async with asyncio.timeout(3 * SECONDS):
        while await left():  # noqa: ASYNC110 - neither SQS nor a dying process tells
            await asyncio.sleep(0.1)


def _told(settings: Settings) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": settings.aws_endpoint_url or "",
        "HEADRACE_DATABASE_URL": settings.database_url,
        "HEADRACE_REDIS_URL": settings.redis_url,
        "HEADRACE_AMQP_URL": settings.amqp_url,
        "HEADRACE_STACK": settings.stack,
        "HEADRACE_BIND": settings.bind,
        "HEADRACE_VISIBILITY_SECONDS": str(settings.visibility_seconds),
    }
