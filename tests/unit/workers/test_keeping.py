"""A lease in hand: what may be done under it, when it is given away, and to whom; and rows that are no longer needed."""

import asyncio
from time import monotonic
from typing import Any, cast

import pytest

from tests.support.fake_streams import FakeSns
from tests.support.fake_table import FakeTable
from workers.keeping import Held
from workers.lease import LeaseLost, Leases
from workers.packing import Parcel
from workers.pruning import deletable
from workers.publishing import Topic
from workers.shards import START, Progress, Row, Shard

ENDED = Progress("9", ended=True)
PARCELS = [Parcel(cast(Any, 0), '{"wire":1,"partition":0,"count":0,"commits":[]}', 60)]


async def held(table: FakeTable, seconds: float, *, grants: bool = False) -> Held:
    leases = Leases(cast(Any, table), "control", "ann", seconds)
    return Held(leases, await leases.take(Row("s")), lambda _: grants)


class Stuck(FakeSns):
    async def publish_batch(self, **call: Any) -> dict[str, Any]:
        await super().publish_batch(**call)
        return await asyncio.Event().wait()  # type: ignore[return-value]


async def test_a_publish_that_gets_no_answer_is_given_up_before_the_lease_can_lapse() -> None:
    sns, began = Stuck(), monotonic()
    lease = await held(FakeTable(), 0.3)
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(Topic(cast(Any, sns), "topic").publish(PARCELS, lease), 2)
    assert monotonic() - began < 0.3 + 0.2  # the pause after a failure included
    assert sns.calls


async def test_nothing_is_published_under_a_lease_that_is_nearly_over() -> None:
    sns, lease = FakeSns(), await held(FakeTable(), 0.1)
    await asyncio.sleep(0.095)
    with pytest.raises(LeaseLost):
        await Topic(cast(Any, sns), "topic").publish(PARCELS, lease)
    assert not sns.calls


@pytest.mark.parametrize("grants", [True, False])
async def test_a_lease_asked_for_goes_to_who_asked_if_its_owner_agrees(grants: bool) -> None:
    table = FakeTable()
    lease = await held(table, 0.06, grants=grants)
    bob = Leases(cast(Any, table), "control", "bob", 0.06)
    await bob.ask((await bob.read(["s"]))["s"])
    await Leases(cast(Any, table), "control", "cid", 0.06).ask((await bob.read(["s"]))["s"])  # too late
    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(lease.keep())
        while "lease_wanted" in table.rows["s"]:  # noqa: ASYNC110 - until the next renewal
            await asyncio.sleep(0.005)
        assert lease.leaving.is_set() == grants
        lease.end()
        await keeping
    await lease.hand_back()
    assert table.rows["s"]["lease_owner"] == {"S": "bob" if grants else "-"}


async def test_a_lease_that_changed_hands_cannot_be_asked_for_by_what_was_seen_before() -> None:
    table = FakeTable()
    ann, bob = (Leases(cast(Any, table), "control", name, 10) for name in ("ann", "bob"))
    seen = await ann.take(Row("s"))
    await ann.take((await ann.read(["s"]))["s"])
    await bob.ask(seen)
    assert "lease_wanted" not in table.rows["s"]


def test_a_row_outlives_its_shard_until_it_was_read_to_its_end_and_its_children_have_rows() -> None:
    ended, half, child = Row("e", progress=ENDED), Row("h", counter=1, progress=START), Row("c", counter=1)
    assert deletable({"e": ended, "h": half}, []) == [ended]
    assert deletable({"e": ended}, [Shard("e")]) == []
    assert deletable({"e": ended}, [Shard("c", "e")]) == []
    assert deletable({"e": ended, "c": child}, [Shard("c", "e")]) == [ended]
    assert deletable({"e": ended, "h": half}, None) == [ended, half]
