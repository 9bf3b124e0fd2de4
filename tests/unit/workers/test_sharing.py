"""How shards are shared, as arithmetic: over random trees of shards and random rows, and played out among several owners."""

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workers.test_shards import families
from workers.shards import FREE, Progress, Row, Shard
from workers.sharing import UNREAD, Plan, View, Watch, grants, plan, unseen

OWNERS = ["ann", "bob", "cid", "dan"]
ENDED = Progress("9", ended=True)


@st.composite
def views(draw: st.DrawFn) -> View:
    """As `ann` may see them: parents that are gone, leases of others, expired ones, some that were asked for."""
    shards = draw(families())
    names = {shard.id for shard in shards} | {shard.parent for shard in shards if shard.parent}
    rows = {name: draw(rows_of(name)) for name in sorted(names)}
    still = {name: draw(st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0])) for name in rows}
    reading = frozenset(name for name, row in rows.items() if row.owner == "ann" and draw(st.booleans()))
    rest = {name: row for name, row in rows.items() if name not in reading}
    return View("ann", shards, rest, {name: still[name] for name in rest}, reading)


@st.composite
def rows_of(draw: st.DrawFn, name: str) -> Row:
    if draw(st.integers(0, 4)) == 0:
        return Row(name)
    progress = draw(st.sampled_from([Progress(), Progress("5"), ENDED]))
    wanted = draw(st.sampled_from(["", "", "ann", "bob"]))
    return Row(name, draw(st.sampled_from([FREE, *OWNERS])), draw(st.integers(1, 9)), draw(st.integers(1, 9)), progress, wanted)


def planned(view: View) -> Plan:
    return plan(view, {name: random.random() for name in (*view.rows, *view.reading, *OWNERS)})


def live(view: View, shard: str) -> bool:
    """Read by somebody, as far as one can see."""
    return shard in view.reading or (view.rows[shard].owner != FREE and view.still[shard] < 1)


@given(views())
@settings(max_examples=100, deadline=None)
def test_what_is_taken_is_readable_and_nobody_elses(view: View) -> None:
    listed = {shard.id for shard in view.shards}
    for shard in (found := planned(view)).take:
        row, parent = view.rows[shard.id], view.rows.get(shard.parent)
        assert not row.progress.ended
        assert row.owner in (FREE, "ann") or view.still[shard.id] >= 1
        assert shard.parent not in view.reading
        assert parent is None or parent.progress.ended or (parent.new and shard.parent not in listed)
    assert len({shard.id for shard in found.take}) == len(found.take)


@given(views())
@settings(max_examples=100, deadline=None)
def test_nobody_is_asked_while_anything_is_free_and_nobody_without_two_more(view: View) -> None:
    found = planned(view)
    if found.ask is None:
        return
    row = view.rows[found.ask.id]
    assert row.owner not in (FREE, "ann")
    assert row.wanted in ("", row.owner)
    assert live(view, found.ask.id)
    assert not found.take
    coming = sum(1 for each in view.rows.values() if each.wanted == row.owner != each.owner)  # asked for by it: as good as its own
    assert found.owners[row.owner] + coming - found.owners["ann"] >= 2
    assert not found.asked


@given(views())
@settings(max_examples=60, deadline=None)
def test_an_alarm_is_of_what_may_be_read_and_is_not_and_the_lost_are_not_listed(view: View) -> None:
    found = planned(view)
    for shard in found.unread:
        assert view.still[shard.id] >= UNREAD
        assert shard in found.take or view.rows[shard.id].owner != "ann"
    listed = {shard.id for shard in view.shards}
    assert all(row.key not in listed and not row.progress.ended for row in found.lost)
    assert all(shard.id in listed and view.rows[shard.id].new for shard in view.shards if unseen(shard, view))


@given(st.integers(1, 30), st.lists(st.integers(0, 3), max_size=30), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_owners_who_ask_each_other_come_to_rest_within_one_of_each_other(count: int, begin: list[int], people: int, seed: int) -> None:
    """Each in turn looks and acts; leases asked for are handed over, or not, at once. No lease moves once it is even, and few before."""
    chance = random.Random(seed)
    rows = {f"s{n:02}": Row(f"s{n:02}", FREE, 1, 1) for n in range(count)}
    for name, who in zip(rows, begin, strict=False):
        if who < people:
            rows[name] = replace(rows[name], owner=OWNERS[who])
    moves = 0
    for _ in range(3 * count + 3):
        for me in chance.sample(OWNERS[:people], people):
            counts = Counter(row.owner for row in rows.values())
            reading = frozenset(name for name, row in rows.items() if row.owner == me)
            rest = {name: row for name, row in rows.items() if name not in reading}
            view = View(me, [Shard(name) for name in rows], rest, dict.fromkeys(rest, 0.0), reading)
            found = plan(view, {name: chance.random() for name in (*rows, *OWNERS)})
            for shard in found.take:
                rows[shard.id] = replace(rows[shard.id], owner=me)
            if found.ask is not None:
                giver = rows[found.ask.id].owner
                assert grants(counts[giver], counts[me])
                rows[found.ask.id] = replace(rows[found.ask.id], owner=me)
                moves += 1
    counts = Counter(dict.fromkeys(OWNERS[:people], 0)) + Counter()
    held = [sum(1 for row in rows.values() if row.owner == who) for who in OWNERS[:people]]
    assert sum(held) == count
    assert max(held) - min(held) <= 1
    assert moves <= count


def test_a_row_stands_still_from_when_it_was_first_answered_to_when_it_was_last_asked_for() -> None:
    watch, row = Watch(10), Row("s", "bob", 4, 2)
    assert watch.saw([row], 100, 101) == {"s": 0}
    assert watch.saw([row], 106, 107) == {"s": 0.5}
    assert watch.saw([row], 111, 112) == {"s": 1.0}
    assert watch.saw([replace(row, counter=5)], 113, 114) == {"s": 0}
    assert watch.saw([replace(row, counter=5, epoch=3)], 130, 131) == {"s": 0}
    slow = replace(row, seconds=30)  # its owner says how long it lasts
    watch.saw([slow], 140, 140)
    assert watch.saw([slow], 155, 155) == {"s": 0.5}
    watch.saw([], 156, 156)
    assert watch.saw([slow], 200, 200) == {"s": 0}  # not seen for a while: nothing is known of it
