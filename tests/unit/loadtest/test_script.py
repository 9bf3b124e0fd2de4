"""The script: shares, who may change what, and one command under way for each comment."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.pacing import arrivals, steps
from loadtest.requests import Requests
from loadtest.script import Ask, Kind, Script, Shape, State


def play(shape: Shape, count: int, seed: int = 1) -> tuple[Script, list[Ask]]:
    """All accepted at once, and every change readable."""
    script, asks = Script(shape, seed), []
    for _ in range(count):
        ask = script.next()
        asks.append(ask)
        if ask.kind is not Kind.READ:
            script.accepted(ask)
            script.readable(ask, f"comment-x-{ask.comment}@1")
    return script, asks


def test_the_same_seed_gives_the_same_script() -> None:
    assert play(Shape(), 200)[1] == play(Shape(), 200)[1] != play(Shape(), 200, seed=2)[1]


def test_the_shares_are_kept() -> None:
    kinds = Counter(ask.kind for ask in play(Shape(create=50, update=30, delete=10, read=10), 20_000)[1])
    for kind, share in ((Kind.CREATE, 0.5), (Kind.UPDATE, 0.3), (Kind.DELETE, 0.1), (Kind.READ, 0.1)):
        assert abs(kinds[kind] / 20_000 - share) < 0.02, kinds


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=200), st.floats(0, 2))
@settings(max_examples=50, deadline=None)
def test_a_comment_has_one_command_under_way_and_none_after_its_deletion(turns: list[tuple[bool, int]], skew: float) -> None:
    script = Script(Shape(create=40, update=40, delete=20, skew=skew), 3)
    under_way: list[Ask] = []
    deleted: set[int] = set()
    for accepted, which in turns:
        ask = script.next()
        assert ask.comment not in deleted
        assert ask.comment not in {each.comment for each in under_way}
        under_way.append(ask)
        if which < len(under_way):
            done = under_way.pop(which)
            (script.accepted if accepted else script.refused)(done)
            if accepted and done.kind is Kind.DELETE:
                deleted.add(done.comment)


def test_changes_are_made_by_the_author() -> None:
    _, asks = play(Shape(), 500)
    authors = {ask.number: ask.author for ask in asks if ask.kind is Kind.CREATE}
    assert all(ask.author == authors[ask.comment] for ask in asks)


def test_what_became_of_each_is_written_down() -> None:
    script = Script(Shape(update=0, delete=0), 1)
    asks = [script.next() for _ in range(3)]
    script.accepted(asks[0])
    script.refused(asks[2])
    assert list(script.states) == [State.ACCEPTED, State.POSTED, State.REFUSED]
    assert list(script.targets) == [0, 1, 2]


@pytest.mark.parametrize("characters", [1, 20, 200, 10_000])
def test_texts_of_a_length(characters: int) -> None:
    for ask in play(Shape(text=characters), 300)[1]:
        text = msgspec.json.decode(b'"%s"' % ask.text)
        assert abs(len(text) - characters) <= 12
        assert 1 <= len(text) <= 10_000


def test_people_write_in_many_scripts_and_never_too_much() -> None:
    texts = [msgspec.json.decode(b'"%s"' % ask.text) for ask in play(Shape(), 2_000)[1]]
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) <= 10_000
    assert any("😀" in text for text in texts)
    assert any("תמונה" in text for text in texts)


def test_a_skew_makes_a_few_hot() -> None:
    for skew, least in ((0.0, 0.0), (1.0, 0.4)):
        pictures = Counter(ask.picture for ask in play(Shape(skew=skew, update=0, delete=0), 5_000)[1])
        hottest = sum(count for picture, count in pictures.items() if picture < 100) / 5_000
        assert hottest >= least
        assert hottest > 0.3 or not skew


def test_requests_are_http() -> None:
    requests = Requests("h:1", "run-0")
    create = Ask(Kind.CREATE, 5, 5, 2, 3, b"hi")
    assert requests.command(create, wait=True) == (
        b"POST /pictures/run-0-p3/comments HTTP/1.1\r\nHost: h:1\r\nIdempotency-Key: run-0-5\r\nHeadrace-Actor: load-2\r\n"
        b"Prefer: wait=30\r\n"
        b'Content-Type: application/json\r\nContent-Length: 36\r\n\r\n{"comment_id":"run-0-5","text":"hi"}'
    )
    update, delete = Ask(Kind.UPDATE, 6, 5, 2, 0, b"ho"), Ask(Kind.DELETE, 7, 5, 2, 0, b"")
    assert requests.command(delete, wait=False).startswith(b"DELETE /comments/run-0-5 HTTP/1.1\r\n")
    lines = requests.batch([create, update, delete]).partition(b"\r\n\r\n")[2].splitlines()
    assert [msgspec.json.decode(line)["id"] for line in lines] == ["run-0-5", "run-0-6", "run-0-7"]
    assert msgspec.json.decode(lines[1]) == {"name": "comment.update", "id": "run-0-6", "data": {"comment_id": "run-0-5", "text": "ho"}}


def test_arrivals_are_as_many_as_the_rate_says_and_rise() -> None:
    dues = list(arrivals(1000, 10, 1))
    assert abs(len(dues) - 10_000) < 500
    assert dues == sorted(dues)
    assert 0 < dues[0] < dues[-1] < 10
    assert dues == list(arrivals(1000, 10, 1))


@pytest.mark.parametrize("text", ["", "fast", "-1", "0", "100,", "nan", "inf"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        steps(text)


def test_steps() -> None:
    assert steps("100,200.5") == [100.0, 200.5]
