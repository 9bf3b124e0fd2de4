"""A page of a scan taken apart, and what reading costs."""

import json

import msgspec
import pytest
from msgspec import structs

from events.dynamo_items import UnreadableItem, from_item, to_item
from events.envelope import Settled
from events.ids import CommandId, Fingerprint, Version
from events.scanning import Budget, read_page
from tests.unit.readmodel.commits import comment, history

SETTLED = (Settled(CommandId("s"), "ann", Fingerprint("f" * 16), Version(0)),)


def test_it_is_what_the_items_say_but_for_what_is_settled() -> None:
    commits = history(comment("ä"), updates=3)
    items = [to_item(structs.replace(commits[0], settled=SETTLED)), *map(to_item, commits[1:])]
    key = {"stream_id": {"S": "x"}, "first_version": {"N": "7"}}
    body = msgspec.json.encode({"Count": 4, "Items": items, "LastEvaluatedKey": key, "ConsumedCapacity": {"CapacityUnits": 12.5}})
    page, found = read_page(body)
    assert page.commits == [structs.replace(from_item(item), settled=()) for item in items]
    assert (page.units, json.loads(found)) == (12.5, key)


def test_the_last_page_has_no_key_and_costs_what_it_weighs_where_nobody_says() -> None:
    page, key = read_page(msgspec.json.encode({"Items": [to_item(each) for each in history(comment("a"), updates=40)]}))
    assert key == b""
    assert 1 < page.units < 10
    assert read_page(b'{"Items":[],"Count":0}')[0].units == 1


@pytest.mark.parametrize("change", [{"format": {"N": "2"}}, {"events": {"N": "1"}}, {"first_version": {"N": "one"}}, {"stream_id": None}])
def test_what_is_no_commit_of_ours_is_refused(change: dict[str, object]) -> None:
    item = {**to_item(history(comment("a"))[0]), **change}
    with pytest.raises(UnreadableItem):
        read_page(msgspec.json.encode({"Items": [item]}))


def test_a_budget_is_kept_over_all_that_read_and_does_not_save_up() -> None:
    now = [100.0]
    budget = Budget(50.0, lambda: now[0])
    assert budget.pay(25) == 0.5
    assert budget.pay(25) == 1.0
    now[0] += 10
    assert budget.pay(5) == pytest.approx(0.1)
    assert budget.spent == 55
    assert Budget(None).pay(1e9) == 0
