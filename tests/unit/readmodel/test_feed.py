"""Points and events of the feed, without a database."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from events.comments.events import CommentCreated, CommentUpdated
from events.envelope import Recorded
from readmodel.domains import feeding
from readmodel.feed import Change, Point, parse_point, told
from readmodel.feed_writing import joined
from readmodel.planning import Arrived
from runtime.times import Micros
from tests.unit.readmodel.commits import REGISTRY, broken, chain, comment, commit

SUBJECTS = {kind: projection.subject for kind, projection in feeding(REGISTRY).items()}
WORDS = st.text(max_size=40)
NUMBERS = st.integers(0, 2**63 - 1)


def change(text: str, first: int = 1, last: int = 1, subject: str | None = "p") -> Change:
    return Change(7, 3, comment(1), first, last, subject, Micros(0), text)  # type: ignore[arg-type]


@given(NUMBERS, NUMBERS, st.integers(0, 999_999_999))
def test_a_point_is_read_back(transaction: int, number: int, events: int) -> None:
    point = Point(transaction, number, events)
    assert parse_point(str(point)) == point


@given(st.one_of(st.text(alphabet="0123456789-+ _a\n", max_size=24), st.text(max_size=12)))
def test_nothing_else_is_a_point(text: str) -> None:
    point = parse_point(text)
    assert point is None or str(point) == text


def test_numbers_that_no_database_knows_are_no_points() -> None:
    for text in (
        f"{2**63}-0-0",
        f"0-{2**63}-0",
        "1-1-1000000000",
        "01-1-1",
        "1-1",
        "1-1-1-1",
        "",
        "1-1-1\n",
        "\N{ARABIC-INDIC DIGIT ONE}-1-1",
    ):
        assert parse_point(text) is None


@given(st.lists(WORDS, min_size=1, max_size=7), st.integers(1, 3))
def test_what_is_joined_reads_as_all_of_it(words: list[str], each: int) -> None:
    commits = chain(comment(1), [CommentUpdated(word) for word in words], each)
    text = joined([Arrived(one) for one in commits])
    expected = [recorded for one in commits for recorded in one.recorded()]
    assert msgspec.json.decode(text, type=list[Recorded]) == expected


def test_spaces_around_an_array_do_no_harm() -> None:
    first, second = (broken(comment(1), version, version - 1, f' [ {{"n": {version}}} ]\n') for version in (1, 2))
    assert json.loads(joined([Arrived(first), Arrived(second)])) == [{"n": 1}, {"n": 2}]


@given(WORDS, WORDS)
def test_each_event_is_one_line_with_what_a_history_has(picture: str, text: str) -> None:
    one = commit(comment(1), 4, 3, CommentCreated(picture, "ann", text), CommentUpdated(text))
    found = list(told(change(joined([Arrived(one)]), 4, 5, picture), REGISTRY, SUBJECTS))
    assert [each.point for each in found] == [Point(7, 3, 1), Point(7, 3, 2)]
    assert [each.name for each in found] == ["comment.created", "comment.updated"]
    bodies = [json.loads(each.body) for each in found]
    assert not any(end in each.body for each in found for end in (b"\n", b"\r"))
    assert [body["version"] for body in bodies] == [4, 5]
    assert bodies[0]["data"] == {"picture_id": picture, "author": "ann", "text": text}
    assert bodies[1].keys() == {"stream", "version", "name", "data", "at", "actor", "command_id", "picture_id"}
    assert {body["picture_id"] for body in bodies} == {picture}


def test_line_ends_between_the_parts_of_stored_json_are_blanks() -> None:
    stored = '[{"name":"strange.v3","data":{\n"a":\r\n"b\\nc"},"at":1,"actor":"a","command_id":"c","fingerprint":"f"}]'
    (found,) = told(change(stored, subject=None), REGISTRY, SUBJECTS)
    assert b"\n" not in found.body
    body = json.loads(found.body)
    assert (found.name, body["data"]) == ("strange", {"a": "b\nc"})
    assert "picture_id" not in body
