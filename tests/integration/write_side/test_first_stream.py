"""A new stack's stream is known from the beginning; one of a store that holds something already is not."""

from dataclasses import replace
from secrets import token_hex

from events.deciding import decide
from events.dynamo_store import open_store
from headrace.provision import provision
from headrace.provisioning.cloud import apply_template
from runtime.aws import Aws, open_aws
from runtime.settings import Settings
from runtime.stack import load_stack, table_name
from tests.support.said import REGISTRY, create, empty
from workers.stream import EventStream
from workers.walks import Walks


async def first_look(aws: Aws, settings: Settings) -> tuple[bool, bool]:
    """(whether a relay sees the stream for the first time, whether a walk is wanted)."""
    dynamodb = await aws.dynamodb()
    walks = Walks(dynamodb, table_name(settings, "control"))
    new = await walks.note_stream(await EventStream(dynamodb, await aws.streams(), table_name(settings, "events")).arn())
    return new, await walks.wanted() is not None


def other(settings: Settings) -> Settings:
    return replace(settings, stack=f"first{token_hex(3)}")


async def test_nobody_walks_a_store_that_begins(settings: Settings) -> None:
    mine = other(settings)
    await provision(mine)
    async with open_aws(mine) as aws:
        assert await first_look(aws, mine) == (False, False)


async def test_provisioning_again_says_nothing_of_the_stream(settings: Settings) -> None:
    mine = other(settings)
    await provision(mine)
    async with open_aws(mine) as aws:
        await Walks(await aws.dynamodb(), table_name(mine, "control")).know_stream("another")
        await provision(mine)
        assert await first_look(aws, mine) == (True, True)


async def test_a_store_that_holds_something_is_walked(settings: Settings) -> None:
    """As after a restore from a backup: there are commits, and nothing tells of what stream."""
    mine = other(settings)
    async with open_aws(mine) as aws:
        await apply_template(await aws.cloudformation(), mine)
        facts = await load_stack(await aws.dynamodb(), settings)
        await (await open_store(aws, facts, mine)).append([decide(empty("comment-old"), [create("old")], REGISTRY).commit()])
        await provision(mine)
        assert await first_look(aws, mine) == (True, True)
