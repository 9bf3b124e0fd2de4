"""Parcels: any text goes through, SQS takes every body, and what is not whole is said to be so."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from events.envelope import Command, Commit, Settled
from events.ids import CommandId, Fingerprint, Partition, StreamId, Version
from events.parcel import (
    NewerParcel,
    Stub,
    UnreadableParcel,
    encode_command,
    encode_commit,
    pack_commands,
    pack_commits,
    read_commands,
    read_commits,
)
from runtime.times import Micros

text = st.text(st.characters(codec="utf-8") | st.sampled_from('\ufffe\uffff\x00\x1f\x7f\u2028\ue000\ufffd\U0010ffff"\\'), max_size=20)
big = st.integers(0, 2**63 - 1)
raws = text.map(lambda each: Raw(msgspec.json.encode({"text": each})))
commands = st.builds(
    Command,
    id=text.map(CommandId),
    name=text,
    stream=text.map(StreamId),
    data=raws,
    fingerprint=text.map(Fingerprint),
    accepted_at=big.map(Micros),
    actor=text,
    tenant=text,
    expected_version=st.none() | big,
    correlation_id=text,
    causation_id=text,
    traceparent=text,
    redriven=st.booleans(),
)
settled = st.lists(st.builds(Settled, text.map(CommandId), text, text.map(Fingerprint), big.map(Version), text, text), max_size=2)
commits = st.builds(
    Commit,
    stream=text.map(StreamId),
    first=big.map(Version),
    last=big.map(Version),
    previous=big.map(Version),
    events=st.lists(raws, max_size=2).map(lambda each: Raw(b"[" + b",".join(map(bytes, each)) + b"]")),
    settled=settled.map(tuple),
)
stubs = st.builds(Stub, text.map(StreamId), big.map(Version), big.map(Version))


def sqs_takes(body: str) -> bool:
    """What SendMessage accepts: #x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF."""
    return all(c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000" for c in body)


def plain(command: Command) -> object:
    return msgspec.json.decode(msgspec.json.encode(command))


@given(st.lists(commands, max_size=4), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_commands_arrive_as_they_were_sent(sent: list[Command], partition: int) -> None:
    body = pack_commands(Partition(partition), [encode_command(each) for each in sent])
    assert sqs_takes(body)
    parcel = read_commands(body)
    assert (parcel.partition, list(map(plain, parcel.commands))) == (partition, list(map(plain, sent)))


@given(st.lists(commits, max_size=3), st.lists(stubs, max_size=3))
@settings(max_examples=150, deadline=None)
def test_commits_arrive_without_what_concerns_the_write_side_only(sent: list[Commit], stood_for: list[Stub]) -> None:
    body = pack_commits(Partition(3), [encode_commit(each) for each in sent], stood_for)
    assert sqs_takes(body)
    parcel = read_commits(body)
    assert parcel.stubs == stood_for
    arrived = [(c.stream, c.first, c.last, c.previous, msgspec.json.decode(c.events), c.settled) for c in parcel.commits]
    assert arrived == [(c.stream, c.first, c.last, c.previous, msgspec.json.decode(c.events), ()) for c in sent]


def test_text_is_not_escaped_without_need() -> None:
    assert "héllo שלום 😀" in pack_commands(Partition(0), [b'"h\xc3\xa9llo \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xf0\x9f\x98\x80"'])


@pytest.mark.parametrize("read", [read_commands, read_commits])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        '{"wire":"1"}',
        '{"wire":1}',
        '{"wire":1,"partition":0,"count":2,"commands":[],"commits":[]}',
        '{"wire":1,"partition":0,"count":0,"commands":[],"commits":[]} x',
        '{"wire":1,"partition":0,"count":1,"commands":[{}],"commits":[{}]}',
        '{"wire":1,"partition":0,"count":0,"commands":"","commits":""}',
        "[" * 100_000,
        '{"wire":1,"x":' + "[" * 100_000,
        "\ud800",
        '{"Type":"Notification","Message":"{}"}',
    ],
    ids=range(15),
)
def test_what_is_no_parcel_is_unreadable(read: object, body: str) -> None:
    assert callable(read)
    with pytest.raises(UnreadableParcel):
        read(body)


def test_the_count_includes_stubs() -> None:
    body = pack_commits(Partition(0), [], [Stub(StreamId("a-1"), Version(1), Version(2))])
    assert read_commits(body).count == 1
    with pytest.raises(UnreadableParcel, match="says 2 commits, holds 1"):
        read_commits(body.replace('"count":1', '"count":2'))


@pytest.mark.parametrize("read", [read_commands, read_commits])
def test_a_newer_parcel_is_left_alone_whatever_else_it_holds(read: object) -> None:
    assert callable(read)
    with pytest.raises(NewerParcel):
        read('{"boxes":[{}],"wire":2}')


def test_fields_that_a_later_version_adds_are_passed_over() -> None:
    assert read_commands('{"wire":1,"partition":0,"count":0,"commands":[],"priority":7}').commands == []
