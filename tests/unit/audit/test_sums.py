"""Sums that do not fit into memory come to the same, and every row that differs from them is named."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.audit.findings import Noted
from headrace.audit.spool import Kept, open_spool
from headrace.audit.sums import Sums
from readmodel.canonical import expected_row
from readmodel.comments.tables import PICTURES
from readmodel.folding import summed
from readmodel.projection import Delta
from runtime.times import Micros, to_datetime

deltas = st.builds(
    lambda key, add, at: Delta(PICTURES, key, {"comment_count": add, "revision": 1}, {} if at is None else {"last_commented_at": at}),
    st.sampled_from(["a", "b", "c", "d", "e"]),
    st.integers(-1, 1),
    st.none() | st.integers(0, 10**15).map(lambda at: to_datetime(Micros(at))),
)


async def pages(rows: list[dict[str, Any]]) -> AsyncIterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), 2):
        yield rows[start : start + 2]


async def compared(given: list[Delta], rows: list[dict[str, Any]], most: int, doubt: str = "") -> list[tuple[str, str]]:
    noted = Noted()
    async with open_spool() as spool:
        sums = Sums(spool, [PICTURES], most)
        for each in given:
            sums.add(each)
            if doubt:
                sums.doubt(each, doubt)
            await sums.make_room()
        await sums.add_up()
        await sums.compare(PICTURES, pages(rows), noted)
    return [(each.stream, each.detail) for each in noted.named]


def rows_of(given: list[Delta]) -> list[dict[str, Any]]:
    found = summed(given).get(PICTURES)
    return [] if found is None else [expected_row(PICTURES, key, add, found.highest.get(key, {})) for key, add in found.add.items()]


@given(st.lists(deltas, max_size=30), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
async def test_however_little_fits_into_memory(given: list[Delta], most: int) -> None:
    assert await compared(given, rows_of(given), most) == []


async def test_every_row_that_differs_is_named() -> None:
    one = [Delta(PICTURES, key, {"comment_count": 1}) for key in ("a", "b", "c", "a")]
    rows = {row["picture_id"]: row for row in rows_of(one)}
    spoiled = [{**rows["a"], "comment_count": 3}, rows["c"], {**rows["c"], "picture_id": "d"}]
    assert await compared(one, spoiled, most=1) == [
        ("pictures a", "comment_count is 3, the events say 2"),
        ("pictures d", "a row that no event made"),
        ("pictures b", "no row"),
    ]
    [(_, told)] = await compared(one[:1], [], most=1, doubt="comment-9")
    assert told == "no row (comment-9 is broken in the store)"


async def test_commits_come_out_by_stream_and_version_as_postgresql_would_order_them() -> None:
    names = ["comment-B", "comment-a", "comment-~", "comment-10", "comment-9", "comment-é", "comment-\U0001f30a", "comment-\uffff"]
    kept = [Kept(name, first, first, 0, 0, None, b"[]") for name in names for first in (10, 9, 1)]
    async with open_spool() as spool:
        await spool.keep(kept)
        await spool.find_heads()
        found = [each async for page in spool.commits() for each in page]
        heads = [tuple(row) async for page in spool.rows("SELECT stream, last FROM heads ORDER BY stream") for row in page]
    ordered = sorted(names, key=str.encode)
    assert [(each.stream, each.first) for each in found] == [(name, first) for name in ordered for first in (1, 9, 10)]
    assert ordered == sorted(names)  # and as Python compares them, in merging
    assert heads == [(name, 10) for name in ordered]


async def test_a_page_is_bounded_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.audit.spool.PAGE_BYTES", 100_000)
    async with open_spool() as spool:
        await spool.keep([Kept("comment-1", first, first, 0, 0, None, b"x" * 10_000) for first in range(1000)])
        sizes = [len(page) async for page in spool.commits()]
    assert sum(sizes) == 1000
    assert max(sizes) <= 50
