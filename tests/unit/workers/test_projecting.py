"""A projector's batch taken apart, and what becomes of a message that cannot be passed now."""

from typing import Any

import pytest

from events.ids import Partition, StreamId, Version
from events.parcel import Stub, pack_commits
from tests.unit.readmodel.commits import broken, comment, delivery, history
from workers.projecting import open_deliveries
from workers.queue import Delivery
from workers.settling import settlement


def message(ident: str, receives: int = 8) -> Delivery:
    return Delivery(ident, "r", "p0", pack_commits(Partition(0), [], [Stub(StreamId(f"a-{ident}"), Version(1), Version(2))]), receives)


def test_a_parcel_for_a_newer_worker_waits_in_hand_however_often_it_was_received() -> None:
    batch = [message("1"), Delivery("newer", "r", "p0", '{"wire":99}', 8), message("2", 1)]
    settled = settlement(batch, open_deliveries(batch).handled(batch), 10)
    assert (settled.bury, settled.delete, settled.keep, settled.give_back) == ([], batch[:1], batch[1:], [])


def test_what_waits_for_a_stream_stays_in_hand_with_what_is_behind_it() -> None:
    batch = [message("1"), message("2"), message("3", 1)]
    settled = settlement(batch, open_deliveries(batch).handled(batch, [StreamId("a-2")]), 10)
    assert (settled.bury, settled.delete, settled.keep, settled.give_back) == ([], batch[:1], batch[1:], [])


@pytest.mark.parametrize(
    "odd",
    [
        {"commits": [broken(comment(1), 2**63, 1, "[]")]},
        {"stubs": [Stub(comment(1), Version(1), Version(2**63))]},
    ],
)
def test_versions_that_no_table_can_hold_are_no_parcel_of_ours(odd: dict[str, Any]) -> None:
    opened = open_deliveries([delivery(*odd.get("commits", ()), stubs=odd.get("stubs", ())), delivery(*history(comment(2)), number=1)])
    assert [(each.message_id, "are no" in why) for each, why in opened.poison] == [("m0", True)]
    assert [each.stream for each in opened.commits] == [comment(2)]
