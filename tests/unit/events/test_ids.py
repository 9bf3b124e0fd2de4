"""Names and their arithmetic, and what is no name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.ids import (
    MAX_VERSION,
    StreamId,
    Token,
    Version,
    derived_id,
    fingerprint,
    is_command_id,
    is_id,
    parse_token,
    partition_of,
    stream_id,
    stream_parts,
)

idents = st.from_regex(r"[A-Za-z0-9._~-]{1,128}", fullmatch=True)
kinds = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
BAD = ["", "a" * 129, "a b", "../a", "a/b", "é", "a\n", "\na", "a%00", "\x00", "a\u0660"]


@given(kinds, idents, st.just("") | idents, st.integers(0, MAX_VERSION))
def test_streams_and_tokens_read_back(kind: str, ident: str, tenant: str, version: int) -> None:
    stream = stream_id(kind, ident, tenant)
    assert stream_parts(stream) == (tenant, kind, ident)
    assert parse_token(str(Token(stream, Version(version)))) == (stream, version)


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_id(bad: str) -> None:
    assert not is_id(bad)
    assert not is_command_id(bad)
    assert stream_parts(f"comment-{bad}") is None or bad == ""
    assert stream_parts(f"{bad}/comment-1") is None


@pytest.mark.parametrize("bad", ["", "comment", "comment-", "-1", "Comment-1", "comment-1\n", "a/b/comment-1", "/comment-1", "comment_1"])
def test_what_is_no_stream(bad: str) -> None:
    assert stream_parts(bad) is None


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "@1",
        "comment-1",
        "comment-1@",
        "comment-1@-1",
        "comment-1@01",
        "comment-1@9223372036854775808",
        "comment-1@1.0",
        "comment-1@1 ",
        "comment-1@1\n",
        "comment-1@٣",
        "x@y@1",
    ],
)
def test_what_is_no_token(bad: str) -> None:
    assert parse_token(bad) is None


def test_a_colon_is_for_keys_only() -> None:
    assert is_command_id("order:7")
    assert not is_id("order:7")


@given(idents, st.integers(1, 256))
def test_partitions_are_within_their_count(ident: str, partitions: int) -> None:
    assert 0 <= partition_of(ident, partitions) < partitions


def test_what_queues_and_callers_hold_never_changes() -> None:
    """Waiting commands, stored fingerprints and chosen ids of every release so far."""
    assert [partition_of(f"comment-{n}", 16) for n in range(4)] == [11, 13, 7, 1]
    assert fingerprint("comment.create", b'{"text":"a"}') == "9a3c23b09cbdb168"
    assert derived_id("t", "ann", "k") == "3e7f7febd0458e4fae332f119216fc7d"


def test_a_fingerprint_tells_name_and_data_apart() -> None:
    assert len({fingerprint("a", b"bc"), fingerprint("ab", b"c"), fingerprint("a", b"bd")}) == 3


def test_a_derived_id_tells_who_asked() -> None:
    assert len({derived_id(*each) for each in (("", "a", "bc"), ("", "ab", "c"), ("a", "", "bc"), ("a", "b", "c"))}) == 4
    assert is_id(derived_id("", "a", "b"))
    assert stream_parts(StreamId(f"comment-{derived_id('', 'a', 'b')}")) is not None
