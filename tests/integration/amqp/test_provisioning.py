"""The projector's queue comes with HEADRACE_AMQP_URL, stays when that is missing, and goes only when told to."""

import secrets
from dataclasses import replace

import pytest

from headrace.audit.checking import published_from
from headrace.observe import queue_depths
from headrace.provision import provision
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import Stack
from runtime.times import now

AMQP = {"amqp", "amqp-dead"}
URL = "amqp://127.0.0.1/"


@pytest.fixture
async def plain(settings: Settings) -> Settings:
    """A stack without RabbitMQ."""
    own = replace(settings, stack=f"prov{secrets.token_hex(3)}", amqp_url="")
    await provision(own)
    return own


async def subscribed(settings: Settings, stack: Stack) -> bool:
    """Whether what is published to the topic reaches the queue."""
    async with open_aws(settings) as aws:
        sqs, sns = await aws.sqs(), await aws.sns()
        once = secrets.token_hex(8)
        await sns.publish(TopicArn=stack.topic_arn, Message=once, MessageGroupId="1", MessageDeduplicationId=once)
        answer = await sqs.receive_message(QueueUrl=stack.queues["amqp"], WaitTimeSeconds=5)
        return [message["Body"] for message in answer.get("Messages", [])] == [once]


async def test_off_is_invisible_on_is_subscribed_and_only_without_amqp_takes_it_away(plain: Settings) -> None:
    assert set(await queue_depths(plain)) & AMQP == set()
    wanted = replace(plain, amqp_url=URL)
    on = await provision(wanted)
    assert set(on.queues) & AMQP == AMQP
    assert await subscribed(wanted, on)
    assert await provision(wanted) == on
    assert await provision(plain) == on  # a URL that is missing once takes nothing away
    assert set(await queue_depths(plain)) & AMQP == AMQP
    off = await provision(plain, without_amqp=True)
    assert set(off.queues) & AMQP == set()
    assert set(await queue_depths(plain)) & AMQP == set()
    assert await provision(plain, without_amqp=True) == off


async def test_an_audit_asks_for_what_was_stored_since(plain: Settings) -> None:
    before = now()
    async with open_aws(plain) as aws:
        stack = await provision(replace(plain, amqp_url=URL))
        since = await published_from(aws, stack)
        assert since is not None
        assert before - 2_000_000 < since <= now() + 1_000_000
        assert await published_from(aws, await provision(plain, without_amqp=True)) is None
