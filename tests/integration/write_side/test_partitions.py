"""Provision and the number of partitions, on a real queue and a real table."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from msgspec import UNSET, structs

from headrace.errors import StackFailed
from headrace.provision import provision
from headrace.provisioning.repartition import NotChanged, Times
from runtime.aws import Aws, open_aws
from runtime.errors import ConfigurationError
from runtime.settings import Settings
from runtime.stack import Changing, StackItem

AT_ONCE = Times(still=0.0, empty=0.0, settle=0.0, mark=2.0)


@pytest.fixture
async def own(settings: Settings) -> AsyncIterator[tuple[Settings, Aws]]:
    found = replace(settings, stack=f"pt{secrets.token_hex(3)}")
    await provision(found)
    async with open_aws(found) as aws:
        yield found, aws


async def test_only_who_asks_for_a_change_changes_what_there_is(own: tuple[Settings, Aws]) -> None:
    settings, aws = own
    with pytest.raises(ConfigurationError, match="HEADRACE_PARTITIONS: 7, but the stack has 16"):
        await provision(replace(settings, partitions=7))
    assert (await provision(replace(settings, partitions=7), AT_ONCE)).partitions == 7
    assert (await provision(replace(settings, partitions=7))).partitions == 7
    seen = await StackItem(await aws.dynamodb(), settings).read()
    assert seen is not None
    assert (seen.stack.partitions, seen.stack.changing) == (7, UNSET)


async def test_a_message_in_the_queue_or_in_somebodys_hands_keeps_the_number_as_it_is(own: tuple[Settings, Aws]) -> None:
    settings, aws = own
    sqs, wanted = await aws.sqs(), replace(settings, partitions=7)
    url = (await provision(settings)).queues["commands"]
    await sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="p0", MessageDeduplicationId="x")
    with pytest.raises(NotChanged, match="the commands queue was not empty within 0 s: 1 messages"):
        await provision(wanted, AT_ONCE)
    (message,) = (await sqs.receive_message(QueueUrl=url, VisibilityTimeout=60))["Messages"]
    with pytest.raises(NotChanged, match="1 messages"):
        await provision(wanted, AT_ONCE)
    assert (await provision(settings)).partitions == 16
    await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert (await provision(wanted, AT_ONCE)).partitions == 7


async def test_a_plain_provision_leaves_a_mark_alone_and_a_change_takes_a_dead_one_over(own: tuple[Settings, Aws]) -> None:
    settings, aws = own
    item = StackItem(await aws.dynamodb(), settings)
    seen = await item.read()
    assert seen is not None
    mark = Changing(5, "killed", 3, 2.0)
    await item.replace(seen, structs.replace(seen.stack, changing=mark))
    assert (await provision(settings)).changing == mark
    assert (await provision(replace(settings, partitions=7), AT_ONCE)).partitions == 7


async def test_a_change_under_way_refuses_another(own: tuple[Settings, Aws], monkeypatch: pytest.MonkeyPatch) -> None:
    settings, aws = own
    item = StackItem(await aws.dynamodb(), settings)
    seen = await item.read()
    assert seen is not None
    beat = 0

    async def beating(_: float) -> bool:
        nonlocal beat, seen
        beat += 1
        assert seen is not None
        seen = await item.replace(seen, structs.replace(seen.stack, changing=Changing(5, "other", beat, 30.0)))
        return False

    await beating(0)
    monkeypatch.setattr("headrace.provisioning.repartition.pause", lambda _, seconds: beating(seconds))
    with pytest.raises(StackFailed, match="being changed to 5 by another provision"):
        await provision(replace(settings, partitions=7), AT_ONCE)
