"""Who may read a shard: nobody writes under a lease that is not theirs, and a lost answer is not a lost lease."""

import asyncio
from typing import Any, cast

import pytest

from runtime.aws import AwsUnavailable
from runtime.errors import ConfigurationError
from tests.support.fake_table import FakeTable
from workers.lease import LeaseLost, Leases
from workers.shards import FREE, START, Progress, Row

SECONDS = 10.0


def two_owners(table: FakeTable) -> tuple[Leases, Leases]:
    client = cast(Any, table)
    return Leases(client, "control", "ann", SECONDS), Leases(client, "control", "bob", SECONDS)


async def seen(leases: Leases, key: str = "s") -> Row:
    return (await leases.read([key]))[key]


async def test_a_lease_is_taken_and_handed_back_with_its_checkpoint() -> None:
    ann, bob = two_owners(FakeTable())
    row = await ann.take(await seen(ann))
    assert (row.owner, row.epoch, row.progress) == ("ann", 1, START)
    await ann.release(row, Progress("7"))
    assert (await seen(bob)).owner == FREE
    theirs = await bob.take(await seen(bob))
    assert (theirs.owner, theirs.epoch, theirs.progress) == ("bob", 2, Progress("7"))


async def test_a_lease_is_handed_over_to_one_by_name() -> None:
    ann, bob = two_owners(FakeTable())
    await ann.release(await ann.take(await seen(ann)), Progress("7"), to="bob")
    theirs = await seen(bob)
    assert (theirs.owner, theirs.epoch, theirs.progress) == ("bob", 1, Progress("7"))
    assert (await bob.take(theirs)).epoch == 2


async def test_a_checkpoint_of_an_earlier_epoch_is_refused() -> None:
    table = FakeTable()
    ann, bob = two_owners(table)
    row = await ann.take(await seen(ann))
    theirs = await bob.take(await seen(bob))
    for write in (ann.renew, ann.release):
        with pytest.raises(LeaseLost):
            await write(row, Progress("9"))
    assert (await bob.renew(theirs, Progress("2"))).progress == Progress("2")
    assert table.rows["s"]["checkpoint"] == {"S": "2"}


async def test_of_two_that_take_it_at_once_one_gets_it() -> None:
    ann, bob = two_owners(FakeTable())
    row = await seen(ann)
    taken = await asyncio.gather(ann.take(row), bob.take(row), return_exceptions=True)
    assert [isinstance(each, LeaseLost) for each in taken] == [False, True]


async def test_a_lease_taken_again_by_its_own_process_has_another_epoch() -> None:
    ann, _ = two_owners(FakeTable())
    first = await ann.take(await seen(ann))
    again = await ann.take(await seen(ann))
    assert again.epoch == first.epoch + 1
    with pytest.raises(LeaseLost):
        await ann.renew(first, START)


async def test_a_write_whose_answer_was_lost_is_known_for_our_own() -> None:
    table = FakeTable()
    ann, _ = two_owners(table)
    row = await ann.take(await seen(ann))
    for write, left in ((ann.renew, ["ann", "3"]), (ann.release, [FREE, "5"])):
        table.lose = 1
        with pytest.raises(AwsUnavailable):
            await write(row, Progress("1"))
        result = await write(row, Progress("2"))
        assert [table.rows["s"]["lease_owner"]["S"], table.rows["s"]["lease_counter"]["N"]] == left
        row = result or row
    assert table.rows["s"]["checkpoint"] == {"S": "2"}


async def test_a_lease_is_held_from_when_its_renewal_was_sent() -> None:
    now = 100.0

    class Slow(FakeTable):
        async def put_item(self, **call: Any) -> Any:
            nonlocal now
            now += 7
            return await super().put_item(**call)

    ann = Leases(cast(Any, Slow()), "control", "ann", SECONDS)
    ann.clock = lambda: now
    assert (await ann.take(await seen(ann))).held_until == 100 + SECONDS


async def test_a_write_that_takes_too_long_is_given_up() -> None:
    class Stuck(FakeTable):
        async def put_item(self, **_: Any) -> Any:
            await asyncio.Event().wait()

    ann = Leases(cast(Any, Stuck()), "control", "ann", 0.06)
    with pytest.raises(AwsUnavailable):
        await ann.take(Row("s"))


async def test_a_row_that_is_no_lease_of_ours_is_refused_with_its_name() -> None:
    table = FakeTable()
    for foreign in ({}, {"lease_owner": {"S": FREE}, "lease_counter": {"N": "x"}}, {"lease_owner": "ann"}):
        table.rows["s"] = {"id": {"S": "s"}} | foreign
        with pytest.raises(ConfigurationError, match="row s is not a lease of ours"):
            await seen(two_owners(table)[0])
