"""Many envelopes or commits of one partition in one message. Pure, and a wire format: `wire` is its version.

UTF-8 JSON that escapes only what SQS forbids; envelopes are nested as they are, never as JSON inside a JSON string. `count`
lets a reader see a truncated parcel; a reader that does not know `wire` leaves the parcel for one that does.

A parcel of commands also says of how many `partitions` its own is one, so that it is understood after a stack's number was changed.
That field came later: without it the stack's number is meant, and readers of before pass it over and do the same, which is right
as long as the number does not change under them. So `wire` stayed what it was.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from events.envelope import ENCODER, Command, Commit
from events.ids import Partition, StreamId, Version
from runtime.errors import Fatal, Retryable

WIRE: Final = 1
MAX_BYTES: Final = 256 * 1024
"""Of one message, and of one publish batch; SNS allows no more."""
LONER_BYTES: Final = 64 * 1024
"""An envelope over this travels alone: it fills a billing unit by itself."""
OVERHEAD: Final = 128
"""Bytes of a parcel beside its envelopes, generously."""


class UnreadableParcel(Fatal):
    """Not a parcel of ours: dead-letter it."""


class NewerParcel(Retryable):
    """Written by a newer version: leave it to a newer worker."""


class Stub(Struct, frozen=True):
    """Stands for a commit too large to travel; the reader fetches it from the store."""

    stream: StreamId
    first: Version
    last: Version


class CommandParcel(Struct, frozen=True):
    wire: int
    partition: Partition
    count: int
    commands: list[Command]
    partitions: Annotated[int, Meta(ge=0)] = 0
    """Of how many `partition` is one; 0 where it is not said."""


class CommitParcel(Struct, frozen=True):
    wire: int
    partition: Partition
    count: int
    commits: list[Commit]
    stubs: list[Stub] = []


class _Head(Struct, frozen=True):
    wire: int


_Parcel = TypeVar("_Parcel", CommandParcel, CommitParcel)
_HEAD: Final = msgspec.json.Decoder(_Head)
_COMMANDS: Final = msgspec.json.Decoder(CommandParcel)
_COMMITS: Final = msgspec.json.Decoder(CommitParcel)


def sqs_safe(body: bytes) -> bytes:
    """Escape the two characters that JSON allows raw and SQS does not (U+FFFE, U+FFFF); control characters already are."""
    if b"\xef\xbf" in body:
        body = body.replace(b"\xef\xbf\xbe", b"\\ufffe").replace(b"\xef\xbf\xbf", b"\\uffff")
    return body


def encode_command(command: Command) -> bytes:
    """One envelope, ready to be packed."""
    return sqs_safe(ENCODER.encode(command))


def encode_commit(commit: Commit) -> bytes:
    """One commit, ready to be packed. `settled` is the write side's own and stays in the store."""
    return sqs_safe(ENCODER.encode(msgspec.structs.replace(commit, settled=())))


def pack_commands(partition: Partition, envelopes: Sequence[bytes], partitions: int = 0) -> str:
    """A parcel's body. `partitions`: of how many `partition` is one; 0 says nothing of it, and means the stack's number."""
    said = b'"partitions":%d,' % partitions if partitions else b""
    head = b'{"wire":%d,"partition":%d,"count":%d,%b"commands":[' % (WIRE, partition, len(envelopes), said)
    return (head + b",".join(envelopes) + b"]}").decode()


def pack_commits(partition: Partition, commits: Sequence[bytes], stubs: Iterable[Stub] = ()) -> str:
    """A parcel's body; `count` counts stubs too."""
    stubs = list(stubs)
    head = b'{"wire":%d,"partition":%d,"count":%d,"commits":[' % (WIRE, partition, len(commits) + len(stubs))
    tail = b'],"stubs":' + ENCODER.encode(stubs) + b"}" if stubs else b"]}"
    return (head + b",".join(commits) + tail).decode()


def read_commands(body: str) -> CommandParcel:
    """Raises UnreadableParcel or NewerParcel."""
    parcel = _read(body, _COMMANDS)
    if parcel.count != len(parcel.commands):
        raise UnreadableParcel(f"says {parcel.count} commands, holds {len(parcel.commands)}")
    return parcel


def read_commits(body: str) -> CommitParcel:
    """Raises UnreadableParcel or NewerParcel."""
    parcel = _read(body, _COMMITS)
    if parcel.count != len(parcel.commits) + len(parcel.stubs):
        raise UnreadableParcel(f"says {parcel.count} commits, holds {len(parcel.commits) + len(parcel.stubs)}")
    return parcel


def _read(body: str, decoder: msgspec.json.Decoder[_Parcel]) -> _Parcel:
    raw = body.encode("utf-8", "surrogatepass")
    try:
        wire = _HEAD.decode(raw).wire
        if wire > WIRE:
            raise NewerParcel(f"wire version {wire}")
        return decoder.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise UnreadableParcel(str(wrong)) from wrong
