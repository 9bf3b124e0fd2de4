"""The names of things and their arithmetic: streams, versions, commands, partitions, tokens."""

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple, NewType
from zlib import crc32

StreamId = NewType("StreamId", str)
"""`[tenant/]type-id`: one aggregate's ordered events."""
Version = NewType("Version", int)
"""How many events a stream has; 0 is the empty stream. A signed 64-bit integer everywhere it is kept."""
CommandId = NewType("CommandId", str)
Fingerprint = NewType("Fingerprint", str)
"""16 hex digits over a command's name and data as sent: tells a repeat from a reuse of its id."""
Partition = NewType("Partition", int)

EMPTY: Final = Version(0)
MAX_VERSION: Final = 2**63 - 1
_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_KEY: Final = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
_STREAM: Final = re.compile(r"(?:([A-Za-z0-9._~-]{1,128})/)?([a-z][a-z0-9_]{0,63})-([A-Za-z0-9._~-]{1,128})")
_LONGEST: Final = 128 + 1 + 64 + 1 + 128
_TOKEN: Final = re.compile(r"(.+)@(0|[1-9][0-9]{0,18})")


class StreamParts(NamedTuple):
    """A stream id taken apart."""

    tenant: str
    type: str
    id: str


class Token(NamedTuple):
    """`stream@version`: a promise that a read can be held to."""

    stream: StreamId
    version: Version

    def __str__(self) -> str:
        return f"{self.stream}@{self.version}"


def is_id(text: str) -> bool:
    """Whether `text` may name a picture, a comment, an aggregate or an actor."""
    return _ID.fullmatch(text) is not None


def is_command_id(text: str) -> bool:
    """Whether `text` may be an `Idempotency-Key`."""
    return _KEY.fullmatch(text) is not None


def stream_id(kind: str, ident: str, tenant: str = "") -> StreamId:
    """The stream of one aggregate. `kind` is its decider's type."""
    return StreamId(f"{tenant}/{kind}-{ident}" if tenant else f"{kind}-{ident}")


def stream_parts(stream: str) -> StreamParts | None:
    """None when `stream` is not a stream id."""
    return _parts(stream) if len(stream) <= _LONGEST else None


@lru_cache(maxsize=8192)
def _parts(stream: str) -> StreamParts | None:
    """A projector asks three times of each stream of a batch, with other lanes' batches in between."""
    match = _STREAM.fullmatch(stream)
    return StreamParts(match[1] or "", match[2], match[3]) if match else None


def parse_token(text: str) -> Token | None:
    """None when `text` is not a token."""
    match = _TOKEN.fullmatch(text)
    if match is None or stream_parts(match[1]) is None or int(match[2]) > MAX_VERSION:
        return None
    return Token(StreamId(match[1]), Version(int(match[2])))


def partition_of(stream: str, partitions: int) -> Partition:
    """The same for the same stream id in every process and release: the queue's order stands on it."""
    return Partition(crc32(stream.encode()) % partitions)


def fingerprint(name: str, data: bytes) -> Fingerprint:
    """Of a command's wire name and its data in canonical JSON."""
    return Fingerprint(blake2b(data, digest_size=8, key=name.encode()[:64]).hexdigest())


def derived_id(tenant: str, caller: str, key: str) -> str:
    """The id of a new aggregate that the caller did not name: 32 hex digits, the same for the same command identity."""
    return blake2b("\0".join((tenant, caller, key)).encode(), digest_size=16).hexdigest()
