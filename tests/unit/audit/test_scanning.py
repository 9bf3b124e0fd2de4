"""A page of the table as it is taken apart: also with items that are no commits."""

import json
from typing import Any

from headrace.audit.reading import _kept
from headrace.audit.scanning import _take_apart


def _apart(items: list[dict[str, Any]]) -> list[Any]:
    answer = {"status_code": 200, "body": json.dumps({"Items": items, "Count": len(items)}).encode()}
    taken: dict[str, Any] = {}
    _take_apart(answer, taken)
    return list(taken["Scanned"].Items)


def test_an_item_with_attributes_of_other_types_is_named_and_spoils_no_page() -> None:
    key = {"stream_id": {"S": "thing-a"}, "first_version": {"N": "1"}}
    [found] = _apart([key | {"seen": {"BOOL": True}, "tags": {"L": [{"S": "x"}]}, "events": {"NULL": True}}])
    kept = _kept(found, times=True)
    assert (kept.stream, kept.first, kept.events) == ("thing-a", 1, None)
