"""The stack's facts on this backend: written only by who saw what stands."""

import secrets
from dataclasses import replace

import pytest
from msgspec import UNSET, structs

from runtime.aws import Aws
from runtime.changing import unmarked
from runtime.settings import Settings
from runtime.stack import Changing, Overtaken, Stack, StackItem, table_name

FACTS = Stack(16, "put:1", "arn", {"commands": "http://x/q"})
MARKED = structs.replace(FACTS, changing=Changing(7, "me", 1, 30.0))


@pytest.fixture
async def item(aws: Aws, settings: Settings) -> StackItem:
    own = replace(settings, stack=f"facts{secrets.token_hex(3)}")
    dynamodb = await aws.dynamodb()
    item = StackItem(dynamodb, own)
    assert await item.read() is None
    await dynamodb.create_table(
        TableName=table_name(own, "control"),
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    await dynamodb.get_waiter("table_exists").wait(TableName=table_name(own, "control"))
    return item


async def test_what_was_written_is_read_and_only_who_saw_it_replaces_it(item: StackItem) -> None:
    assert await item.read() is None
    first = await item.replace(None, FACTS)
    assert await item.read() == first == (FACTS, first.text)
    with pytest.raises(Overtaken):
        await item.replace(None, MARKED)
    marked = await item.replace(first, MARKED)
    with pytest.raises(Overtaken):
        await item.replace(first, structs.replace(FACTS, partitions=7))
    seen = await item.read()
    assert seen == marked
    assert seen is not None
    assert seen.stack.changing == MARKED.changing
    last = await item.replace(marked, structs.replace(unmarked(seen.stack), partitions=7))
    assert last.stack.changing is UNSET
    assert await item.read() == last


async def test_the_same_write_once_more_is_no_conflict(item: StackItem) -> None:
    first = await item.replace(None, FACTS)
    assert await item.replace(None, FACTS) == first
    marked = await item.replace(first, MARKED)
    assert await item.replace(first, MARKED) == marked
