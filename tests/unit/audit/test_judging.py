"""One stream against what views say of it: whatever a projector may have applied is clean, and whatever else is said is not."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.envelope import Commit
from events.ids import StreamId, Version
from headrace.audit.findings import Noted
from headrace.audit.judging import Judge, Park, Sink, Standing
from readmodel.canonical import expected
from readmodel.comments.projection import PROJECTION
from readmodel.folding import summed
from readmodel.projection import POSITION_COLUMNS, Delta
from readmodel.verdicts import Position
from tests.unit.readmodel.commits import REGISTRY, broken, chain, comment

STREAM = comment(1)


@st.composite
def lives(draw: st.DrawFn) -> list[Commit]:
    texts = draw(st.lists(st.text("abc", max_size=3), max_size=6))
    events = [CommentCreated("p", "ann", "first"), *map(CommentUpdated, texts), *([CommentDeleted()] if draw(st.booleans()) else [])]
    return chain(STREAM, events, draw(st.integers(1, 3)))


class Heard:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.noted = Noted()
        self.deltas: list[Delta] = []
        self.doubts: list[str] = []
        self.elsewhere: list[tuple[str, str]] = []
        self.gone_on: list[tuple[str, str, int]] = []
        self.sink = Sink(
            self.noted,
            self.deltas.append,
            lambda _, stream: self.doubts.append(stream),
            lambda *pair: self.elsewhere.append(pair),
            lambda *suspect: self.gone_on.append(suspect),
        )

    def said(self) -> list[tuple[str, str]]:
        return [(each.invariant, each.detail) for each in self.noted.named]


def judged(commits: Sequence[Commit], standing: Standing) -> Heard:
    heard = Heard()
    judge = Judge(STREAM, REGISTRY, [PROJECTION], standing, heard.sink)
    for each in commits:
        judge.take(each)
    judge.end()
    return heard


def applied(commits: Sequence[Commit]) -> tuple[Standing, Any]:
    """What PostgreSQL says once the projector `rds` has applied these, and the sums they came to."""
    standing = Standing()
    if not commits:
        return standing, {}
    folded = expected(PROJECTION, REGISTRY, STREAM, commits)
    assert folded.row is not None
    standing.rows["comments"] = folded.row
    standing.positions["comments"] = Position(*(folded.row[name] for name in POSITION_COLUMNS[1:]))
    return standing, summed(folded.deltas)


@given(lives(), st.data())
@settings(max_examples=60, deadline=None)
def test_any_beginning_of_a_stream_is_clean_and_its_sums_are_of_that_beginning(life: list[Commit], data: st.DataObject) -> None:
    many = data.draw(st.integers(0, len(life)))
    standing, sums = applied(life[:many])
    cached = data.draw(st.integers(0, many))
    if cached:
        standing.positions["cache"] = applied(life[:cached])[0].positions["comments"]
    heard = judged(life, standing)
    assert heard.said() == []
    assert summed(heard.deltas) == sums
    assert (heard.doubts, heard.elsewhere, heard.gone_on) == ([], [], [])


@given(lives(), st.data())
@settings(max_examples=60, deadline=None)
def test_any_other_value_in_any_column_is_found(life: list[Commit], data: st.DataObject) -> None:
    many = data.draw(st.integers(1, len(life)))
    standing, _ = applied(life[:many])
    row = standing.rows["comments"]
    column = data.draw(st.sampled_from(sorted(row.keys() - {"stream"})))
    spoiled = {**row, column: _other(row[column])}
    standing.rows["comments"] = spoiled
    standing.positions["comments"] = Position(*(spoiled[name] for name in POSITION_COLUMNS[1:]))
    said = judged(life, standing).said()
    assert {invariant for invariant, _ in said} - ({"I6"} if column == "version" else set()) == {
        "I5" if column in POSITION_COLUMNS else "I6"
    }
    if column not in POSITION_COLUMNS:
        assert [column in detail for _, detail in said] == [True]


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return f"{value}!"
    if isinstance(value, int):
        return value + 1
    return value.replace(year=1999)


def test_no_row_though_there_is_a_position_and_the_other_way_round() -> None:
    life = chain(STREAM, [CommentCreated("p", "ann", "first")])
    standing, _ = applied(life)
    assert judged([], standing).said() == [
        ("I5", "comments is at version 1, the stream at 0"),
        ("I6", "comments: a row that no event made"),
    ]
    assert judged(life, Standing()).said() == []  # late, which is another's to tell


def test_a_park_stands_where_nothing_before_it_is_left_out() -> None:
    life = chain(STREAM, [CommentCreated("p", "ann", "first"), *(CommentUpdated(str(n)) for n in range(4))], each=2)
    standing, _ = applied(life[:1])
    for version, reason, said in [
        (3, "projection_failed", []),
        (4, "projection_failed", []),
        (5, "projection_failed", [("I5", "comments has parked it at version 5, and left out 3-4 before that")]),
        (5, "fork", []),
        (3, " ", [("I5", "comments has parked it without a reason")]),
    ]:
        standing.parks["comments"] = Park(reason, version)
        heard = judged(life, standing)
        assert (heard.said(), heard.gone_on) == (said, [])
    standing.parks["comments"] = Park("projection_failed", 2)
    assert judged(life, standing).gone_on == [("comments", STREAM, 2)]
    standing.parks["comments"] = Park("fork", 2)
    assert judged(life, standing).gone_on == []


def test_a_broken_stream_is_told_once_and_casts_doubt_on_its_sums() -> None:
    life = chain(STREAM, [CommentCreated("p", "ann", "first"), *(CommentUpdated(str(n)) for n in range(3))])
    standing, _ = applied(life)
    heard = judged([life[0], *life[2:]], standing)
    assert {invariant for invariant, _ in heard.said()} == {"I3"}
    assert heard.doubts == [STREAM]
    assert len(heard.deltas) == 3


@pytest.mark.parametrize("poison", ["[]", "{", '[{"name": "x"}]', "[1]", '"\\ud800"'])
def test_whatever_lies_in_the_store_is_named(poison: str) -> None:
    life = chain(STREAM, [CommentCreated("p", "ann", "first")])
    standing, _ = applied(life)
    assert {invariant for invariant, _ in judged([*life, broken(STREAM, 2, 1, poison)], standing).said()} == {"I3"}


def test_a_stream_of_no_domain_here_is_held_to_its_positions_only() -> None:
    other = StreamId("invoice-1")
    life = chain(other, [CommentCreated("p", "ann", "first"), CommentUpdated("b")])
    for position, said in ((Position(Version(2), Version(2), "c2"), []), (Position(Version(2), Version(1), "c2"), ["I5"])):
        heard = Heard()
        judge = Judge(other, REGISTRY, (), Standing({"rds": position}), heard.sink)
        for each in life:
            judge.take(each)
        judge.end()
        assert [invariant for invariant, _ in heard.said()] == said
