"""Every format the write side stores or sends, as a file of bytes that lie in somebody's queue or table.

Each is decoded as it lies there; and today's encoder still writes exactly it. A failing second test is a question: is the change meant,
and who still holds the old bytes? Then the old file stays, under a name of its own, with its decoding test.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import Raw

from events import snapshots
from events.deciding import decide
from events.dynamo_items import from_item, to_item
from events.envelope import ENCODER, Command, Commit, Recorded, Settled
from events.history import History
from events.ids import CommandId, Fingerprint, Partition, StreamId, Token, Version, parse_token
from events.outcome import KEPT, NOTICES, Kept, Notice, Outcome, Status
from events.parcel import (
    CommandParcel,
    CommitParcel,
    Stub,
    encode_command,
    encode_commit,
    pack_commands,
    pack_commits,
    read_commands,
    read_commits,
)
from runtime.stack import Changing, Stack
from runtime.times import Micros
from tests.support import ledger
from tests.support.said import REGISTRY, said
from workers.lease import _item, _row
from workers.shards import Progress, Row

FOLDER = Path(__file__).parents[2] / "golden"
STREAM = StreamId("acme/comment-0f3b")
AT = Micros(1_767_225_599_000_001)
PRINT = Fingerprint("9a3c23b09cbdb168")
TEXT = 'héllo "שלום" 😀 \\ \n \x00 \ufffe\uffff \u2028'
RAW = Raw(msgspec.json.encode({"picture_id": "sunset", "text": TEXT, "comment_id": "0f3b"}))
FULL = Command(
    id=CommandId("order:7"),
    name="comment.create",
    stream=STREAM,
    data=RAW,
    fingerprint=PRINT,
    accepted_at=AT,
    actor="ann",
    tenant="acme",
    expected_version=0,
    correlation_id="c-1",
    causation_id="e-1",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    redriven=True,
)
PLAIN = Command(CommandId("k"), "comment.delete", StreamId("comment-1"), Raw(b'{"comment_id":"1"}'), PRINT, AT)
CREATED = Recorded(
    "comment.created.v1",
    Raw(msgspec.json.encode({"picture_id": "sunset", "author": "ann", "text": TEXT})),
    AT,
    "ann",
    CommandId("order:7"),
    PRINT,
    "c-1",
    "e-1",
    FULL.traceparent,
)
DELETED = Recorded("comment.deleted.v1", Raw(b"{}"), Micros(AT + 1), "ann", CommandId("k"), PRINT)
COMMIT = Commit(STREAM, Version(3), Version(4), Version(1), Raw(ENCODER.encode([CREATED, DELETED])))
REFUSED = Settled(CommandId("s1"), "bob", PRINT, Version(2), "not_the_author", "only the author updates or deletes a comment")
IDLE = Settled(CommandId("s2"), "ann", PRINT, Version(2))
SETTLED = msgspec.structs.replace(COMMIT, settled=(REFUSED, IDLE))
STUB = Stub(StreamId("comment-2"), Version(1), Version(9_000_000_000))
FACTS = Stack(
    16, "transact:100", "arn:aws:sns:us-east-1:000000000000:headrace.fifo", {"commands": "http://x/q", "commands-dead": "http://x/d"}
)
CHANGING = msgspec.structs.replace(FACTS, changing=Changing(32, "host-1-ab", 7, 30.0))
APPLIED = Outcome(Status.APPLIED, Version(4), no_effect=True)
REJECTED = Outcome(Status.REJECTED, Version(2), "comment_deleted", "a deleted comment takes no more commands")
NOTICED = [Notice(STREAM, "ann", CommandId("order:7"), PRINT, APPLIED), Notice(STREAM, "bob", CommandId("s1"), PRINT, REJECTED)]
LEASE = Row("lease#2026#shard-1", "host-1-ab", 7, 3, Progress("49590338271490256608559692538361571095921575989136588898"))
FREE = Row("lease#2026#shard-1", "-", 1, 1, Progress(ended=True))

SNAPSHOT = snapshots.Snapshot(
    STREAM,
    "bc109bef6105c8f2",
    Version(3),
    Version(4),
    Version(1),
    Micros(AT + 1),
    Raw(msgspec.json.encode({"text": TEXT})),
    [
        snapshots.Known("bob", "s1", PRINT, Version(2), AT, "not_the_author", "only the author"),
        snapshots.Known("ann", "k", PRINT, Version(4), Micros(AT + 1)),
    ],
    Micros(7),
)


class Format(NamedTuple):
    means: object
    write: Callable[[], bytes]
    read: Callable[[bytes], object]


def plain(value: object) -> object:
    """For comparing: `Raw` is equal to nothing but itself."""
    return msgspec.to_builtins(value, enc_hook=_opened) if isinstance(value, msgspec.Struct) else value


def _opened(raw: object) -> Any:
    return msgspec.json.decode(bytes(raw)) if isinstance(raw, Raw) else repr(raw)


def item(lies_there: bytes) -> dict[str, Any]:
    return msgspec.json.decode(lies_there, type=dict[str, Any])


def lease(lies_there: bytes) -> Row:
    row = item(lies_there)
    return _row(row)


FORMATS = {
    "command_parcel": Format(
        CommandParcel(1, Partition(7), 2, [FULL, PLAIN]),
        lambda: pack_commands(Partition(7), [encode_command(FULL), encode_command(PLAIN)]).encode(),
        lambda lies: read_commands(lies.decode()),
    ),
    "command_parcel_2": Format(
        CommandParcel(1, Partition(7), 2, [FULL, PLAIN], 16),
        lambda: pack_commands(Partition(7), [encode_command(FULL), encode_command(PLAIN)], 16).encode(),
        lambda lies: read_commands(lies.decode()),
    ),
    "commit_parcel": Format(
        CommitParcel(1, Partition(7), 2, [COMMIT], [STUB]),
        lambda: pack_commits(Partition(7), [encode_commit(SETTLED)], [STUB]).encode(),
        lambda lies: read_commits(lies.decode()),
    ),
    "commit_item": Format(COMMIT, lambda: ENCODER.encode(to_item(COMMIT)), lambda lies: from_item(item(lies))),
    "commit_item_settled": Format(SETTLED, lambda: ENCODER.encode(to_item(SETTLED)), lambda lies: from_item(item(lies))),
    "snapshot_item": Format(SNAPSHOT, lambda: ENCODER.encode(snapshots.to_item(SNAPSHOT)), lambda lies: snapshots.from_item(item(lies))),
    "stack_facts": Format(FACTS, lambda: ENCODER.encode(FACTS), lambda lies: msgspec.json.decode(lies, type=Stack)),
    "stack_facts_changing": Format(CHANGING, lambda: ENCODER.encode(CHANGING), lambda lies: msgspec.json.decode(lies, type=Stack)),
    "lease_row": Format(LEASE, lambda: ENCODER.encode(_item(LEASE)), lease),
    "lease_row_ended": Format(FREE, lambda: ENCODER.encode(_item(FREE)), lease),
    "kept_no_effect": Format(NOTICED[0].kept(), lambda: ENCODER.encode(NOTICED[0].kept()), KEPT.decode),
    "kept_rejected": Format(NOTICED[1].kept(), lambda: ENCODER.encode(NOTICED[1].kept()), KEPT.decode),
    "notices_2": Format(NOTICED, lambda: ENCODER.encode(NOTICED), NOTICES.decode),
    "token": Format(
        Token(STREAM, Version(9_000_000_000)),
        lambda: ENCODER.encode(str(Token(STREAM, Version(9_000_000_000)))),
        lambda lies: parse_token(msgspec.json.decode(lies)),
    ),
}


FORMER: dict[str, tuple[object, Callable[[bytes], object]]] = {
    "outcome_applied": (Kept(Status.APPLIED, Version(4)), KEPT.decode),
    "outcome_rejected": (Kept(Status.REJECTED, Version(2), REJECTED.reason, REJECTED.detail), KEPT.decode),
    "notices": ([msgspec.structs.replace(NOTICED[0], outcome=Outcome(Status.APPLIED, Version(4))), NOTICED[1]], NOTICES.decode),
}
"""Nobody writes these any more, yet they may still lie there."""


def lying(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_what_lies_there_is_read(name: str) -> None:
    assert plain(FORMATS[name].read(lying(name))) == plain(FORMATS[name].means)


@pytest.mark.parametrize("name", FORMER)
def test_what_an_older_version_left_is_read(name: str) -> None:
    means, read = FORMER[name]
    assert read(lying(name)) == means


@pytest.mark.parametrize("name", FORMATS)
def test_todays_encoder_writes_the_same_bytes(name: str) -> None:
    assert FORMATS[name].write() == lying(name)


def test_a_stream_of_v1_events_is_read_folded_and_decided_upon_by_todays_rules() -> None:
    """Written by the ledger of before: euros as text, no currency, no notes."""
    commit = from_item(item(lying("ledger_v1_commit")))
    assert [each.name for each in commit.recorded()] == ["account.opened.v1", "account.booked.v1", "account.booked.v1"]
    history = History(commit.stream, ledger.DOMAIN.decider).absorb([commit], REGISTRY)
    assert history.state == ledger.Account("ann", "EUR", 1005, 2)
    known = said("account.book", {"account_id": "1", "entries": [1]}, "old-2", fingerprint=Fingerprint("00000000000000b2"))
    asked = [known, *(said("account.book", {"account_id": "1", "entries": [cents]}) for cents in (-1006, -1005))]
    draft = decide(history, asked, REGISTRY)
    assert [(each.reason, each.version) for each in draft.outcomes] == [("", 2), ("overdrawn", 3), ("", 4)]
    assert [each.name for each in draft.commit().recorded()] == ["account.booked.v2"]
    history.absorb([draft.commit()], REGISTRY)
    assert history.state == ledger.Account("ann", "EUR", 0, 3)
