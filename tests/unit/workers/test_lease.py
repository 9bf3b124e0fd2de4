"""Who may read a shard: nobody takes a lease that still moves, and nobody writes under one that is not theirs."""

import asyncio
from time import monotonic
from typing import Any, cast

import pytest

from runtime.errors import ConfigurationError
from tests.support.fake_table import FakeTable
from workers.lease import FREE, START, LeaseLost, Leases
from workers.shards import Progress

SECONDS = 0.08


def two_owners(table: FakeTable) -> tuple[Leases, Leases]:
    client = cast(Any, table)
    return Leases(client, "control", "ann", SECONDS), Leases(client, "control", "bob", SECONDS)


async def test_a_free_lease_is_taken_and_handed_back_with_its_checkpoint() -> None:
    ann, bob = two_owners(FakeTable())
    row = await ann.acquire("s")
    assert row is not None
    assert (row.owner, row.epoch, row.progress, row.held()) == ("ann", 1, START, True)
    await ann.release(row, Progress("7"))
    theirs = await bob.acquire("s")
    assert theirs is not None
    assert (theirs.owner, theirs.epoch, theirs.progress) == ("bob", 2, Progress("7"))


async def test_only_a_counter_that_stood_still_for_the_whole_time_is_taken_over() -> None:
    ann, bob = two_owners(FakeTable())
    row = await ann.acquire("s")
    assert row is not None
    assert await bob.acquire("s") is None
    until = monotonic() + 2 * SECONDS
    while monotonic() < until:  # alive: bob watches for twice the lease's time and gets nothing
        row = await ann.renew(row, Progress("1"))
        await asyncio.sleep(SECONDS / 4)
        assert await bob.acquire("s") is None
    since = monotonic()
    taken = None
    while taken is None:
        await asyncio.sleep(SECONDS / 8)
        taken = await bob.acquire("s")
    assert monotonic() - since >= SECONDS * 0.7  # since the last renewal that bob saw
    assert not row.held()
    assert (taken.owner, taken.epoch, taken.progress) == ("bob", 2, Progress("1"))


async def test_a_checkpoint_of_an_earlier_epoch_is_refused() -> None:
    table = FakeTable()
    ann, bob = two_owners(table)
    row = await ann.acquire("s")
    assert row is not None
    while (theirs := await bob.acquire("s")) is None:  # noqa: ASYNC110 - a takeover is a matter of time alone
        await asyncio.sleep(SECONDS / 4)
    for write in (ann.renew, ann.release):
        with pytest.raises(LeaseLost):
            await write(row, Progress("9"))
    assert (await bob.renew(theirs, Progress("2"))).progress == Progress("2")
    assert table.rows["s"]["checkpoint"] == {"S": "2"}


async def test_of_two_that_take_it_at_once_one_gets_it() -> None:
    ann, bob = two_owners(FakeTable())
    taken = await asyncio.gather(ann.acquire("s"), bob.acquire("s"))
    assert sum(1 for each in taken if each) == 1


async def test_ones_own_lease_is_taken_again_at_once() -> None:
    ann, _ = two_owners(FakeTable())
    first, again = await ann.acquire("s"), await ann.acquire("s")
    assert first is not None
    assert again is not None
    assert again.epoch == first.epoch + 1
    with pytest.raises(LeaseLost):
        await ann.renew(first, START)


async def test_a_lease_is_held_from_when_its_renewal_was_sent() -> None:
    class Slow(FakeTable):
        async def put_item(self, **call: Any) -> None:
            await asyncio.sleep(SECONDS)
            await super().put_item(**call)

    ann, _ = two_owners(Slow())
    row = await ann.acquire("s")
    assert row is not None
    assert not row.held()


async def test_a_row_that_is_no_lease_of_ours_is_refused_with_its_name() -> None:
    table = FakeTable()
    for foreign in ({"id": {"S": "s"}}, {"lease_owner": {"S": FREE}, "lease_counter": {"N": "x"}}, {"lease_owner": "ann"}):
        table.rows["s"] = foreign
        with pytest.raises(ConfigurationError, match="row s is not a lease of ours"):
            await two_owners(table)[0].acquire("s")
