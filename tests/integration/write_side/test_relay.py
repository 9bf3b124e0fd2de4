"""From the event store to the projectors' queues, and whose turn it is to carry."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from secrets import token_hex
from typing import Any

import msgspec
import pytest

from events.deciding import confirm, decide
from events.envelope import Commit
from events.ids import StreamId
from events.parcel import read_commits
from events.store import Appended
from runtime.aws import open_aws
from runtime.stack import table_name
from tests.integration.write_side.conftest import LIMIT, Running, WriteSide
from tests.support.said import REGISTRY, create, empty, update
from workers.lease import LeaseLost, Leases
from workers.shards import Progress

Told = tuple[StreamId, int, int, str]


def told(commit: Commit) -> Told:
    """A commit, however its text is escaped on the way."""
    return commit.stream, commit.first, commit.last, repr(msgspec.json.decode(commit.events))


async def append(write_side: WriteSide, ident: str) -> set[Told]:
    """Two commits of one stream."""
    history, told_of = empty(f"comment-{ident}"), set()
    for said in (create(ident, "héllo \uffff"), update(ident, "b")):
        draft = decide(history, [said], REGISTRY)
        assert await write_side.store.append([draft.commit()]) == [Appended.YES]
        told_of.add(told(draft.commit()))
        confirm(history, draft)
    return told_of


async def arrived(messages: AsyncIterator[dict[str, Any]], wanted: set[Told]) -> None:
    """Until all of `wanted` came; every message is a raw parcel."""
    missing = set(wanted)
    async for message in messages:
        missing -= {told(commit) for commit in read_commits(message["Body"]).commits}
        if not missing:
            return


async def test_every_commit_reaches_both_projectors_as_it_is_stored(write_side: WriteSide, running: Running) -> None:
    wanted = set[Told]().union(*[await append(write_side, token_hex(8)) for _ in range(12)])
    async with asyncio.timeout(LIMIT), running("relay"), asyncio.TaskGroup() as tasks:
        for queue in ("rds", "cache"):
            tasks.create_task(arrived(write_side.messages(queue), wanted))


async def test_a_relay_that_stopped_hands_over_at_once_and_nothing_is_missed(write_side: WriteSide, running: Running) -> None:
    async with asyncio.timeout(LIMIT), running("relay"):
        await arrived(write_side.messages("rds"), await append(write_side, token_hex(8)))
    between = await append(write_side, token_hex(8))
    async with asyncio.timeout(LIMIT / 2), running("relay"):  # a lease left behind would take its 10 seconds
        await arrived(write_side.messages("rds"), between)


async def test_a_relay_goes_on_while_postgresql_is_away_and_stops_as_told(write_side: WriteSide, running: Running) -> None:
    away = replace(write_side.settings, database_url="postgresql://nobody@127.0.0.1:1/nothing")
    async with asyncio.timeout(LIMIT):
        async with running("relay", away):
            await arrived(write_side.messages("rds"), await append(write_side, token_hex(8)))


async def test_the_whole_way_from_a_parcel_to_the_projectors(write_side: WriteSide, running: Running) -> None:
    said = [create(token_hex(8)) for _ in range(3)]
    async with asyncio.timeout(LIMIT), running("relay"), running("commands"), asyncio.TaskGroup() as tasks:
        for each in said:
            await write_side.send([each])
        for queue in ("rds", "cache"):
            tasks.create_task(_streams(write_side.messages(queue), {each.stream for each in said}))


async def _streams(messages: AsyncIterator[dict[str, Any]], wanted: set[StreamId]) -> None:
    missing = set(wanted)
    async for message in messages:
        missing -= {commit.stream for commit in read_commits(message["Body"]).commits}
        if not missing:
            return


async def test_a_real_lease_row_refuses_whoever_is_not_its_owner(write_side: WriteSide) -> None:
    key = f"lease#test#{token_hex(4)}"
    async with asyncio.timeout(LIMIT), open_aws(write_side.settings) as aws:
        table, dynamodb = table_name(write_side.settings, "control"), await aws.dynamodb()
        ann, bob = (Leases(dynamodb, table, owner, 10) for owner in ("ann", "bob"))
        row = await ann.take((await ann.read([key]))[key])
        row = await ann.renew(row, Progress("7"))
        theirs = await bob.take((await bob.read([key]))[key])
        assert (theirs.owner, theirs.epoch, theirs.progress) == ("bob", 2, Progress("7"))
        with pytest.raises(LeaseLost):
            await ann.renew(row, Progress("8"))
        with pytest.raises(LeaseLost):
            await ann.release(row, Progress("8"))
        await bob.release(theirs, Progress("9", ended=True))
        again = await ann.take((await ann.read([key]))[key])
        assert (again.epoch, again.progress) == (3, Progress("9", ended=True))
