"""What a process knows of streams' heads without asking the store."""

from events.ids import StreamId, Version
from readmodel.heads import Heads

A, B, C = StreamId("comment-a"), StreamId("comment-b"), StreamId("comment-c")


def test_a_version_reaches_all_before_it_and_none_after() -> None:
    heads = Heads()
    heads.note(A, Version(3))
    assert [heads.reach(A, Version(version)) for version in (1, 3, 4)] == [True, True, False]
    assert not heads.reach(B, Version(1))


def test_news_of_an_older_version_takes_nothing_back() -> None:
    heads = Heads()
    heads.note(A, Version(3))
    heads.note(A, Version(2))
    assert heads.reach(A, Version(3))


def test_the_stream_not_heard_of_for_longest_is_forgotten() -> None:
    heads = Heads(most=2)
    for stream in (A, B, A, C):
        heads.note(stream, Version(1))
    assert [heads.reach(stream, Version(1)) for stream in (A, B, C)] == [True, False, True]
