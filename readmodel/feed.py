"""The feed of changes: what a row of it is, where a reader of it stands, and events as readers see them. Pure.

A row holds what one batch applied of one stream. Rows are ordered by (transaction, number): a transaction's id is given at its first
write, which is after the locks of its streams, so the rows of a stream are in the order of its versions.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from events.domain import Registry, public_name
from events.envelope import Recorded
from events.ids import StreamId, Version, stream_parts
from runtime.times import Micros, rfc3339

_POINT: Final = re.compile(r"(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,8})", re.ASCII)
_MOST: Final = 2**63 - 1
MOST_EVENTS: Final = 999_999_999
"""More than any row has."""
_RECORDED: Final = msgspec.json.Decoder(list[Recorded])
_ENCODER: Final = msgspec.json.Encoder()


class Point(NamedTuple):
    """Where a reader stands: so many events of this row, and all rows before it, are behind it. Its text is an event's id."""

    transaction: int
    number: int = 0
    events: int = 0

    def __str__(self) -> str:
        return f"{self.transaction}-{self.number}-{self.events}"


def parse_point(text: str) -> Point | None:
    """None when `text` is none of ours."""
    match = _POINT.fullmatch(text)
    if match is None:
        return None
    point = Point(int(match[1]), int(match[2]), int(match[3]))
    return point if max(point) <= _MOST else None


class Change(NamedTuple):
    """One row. `at`: when it was written; `events`: JSON array of the recorded events of these versions."""

    transaction: int
    number: int
    stream: StreamId
    first: Version
    last: Version
    subject: str | None
    at: Micros
    events: str

    @property
    def end(self) -> Point:
        """Behind all of it."""
        return Point(self.transaction, self.number, self.last - self.first + 1)


class Told(NamedTuple):
    """One event: where a reader stands who has it, its public name, and all of it as one line of JSON."""

    point: Point
    name: str
    body: bytes


class _Event(Struct, frozen=True):
    stream: StreamId
    version: int
    name: str
    data: Raw
    at: str
    actor: str
    command_id: str


def told(change: Change, registry: Registry, subjects: Mapping[str, str]) -> Iterator[Told]:
    """The events of a row, in order; `subjects`: by domain type, what its subject is called. Raises msgspec.MsgspecError."""
    parts = stream_parts(change.stream)
    called = subjects.get(parts.type, "") if parts else ""
    more = b"" if not called or change.subject is None else b"," + _ENCODER.encode({called: change.subject})[1:-1]
    for place, recorded in enumerate(_RECORDED.decode(change.events), 1):
        stored, data = _current(registry, recorded)
        name = public_name(stored)
        version = change.first + place - 1
        event = _Event(change.stream, version, name, data, rfc3339(recorded.at), recorded.actor, recorded.command_id)
        body = _ENCODER.encode(event)[:-1] + more + b"}"
        yield Told(Point(change.transaction, change.number, place), name, _one_line(body))


def _current(registry: Registry, recorded: Recorded) -> tuple[str, Raw]:
    """In today's form; as it is stored where the domain cannot make that of it, which then parks no reader."""
    try:
        return registry.current(recorded.name, recorded.data)
    except Exception:  # noqa: BLE001 - an upcast is the domain's code and may raise anything
        return recorded.name, recorded.data


def _one_line(body: bytes) -> bytes:
    """A line's end in JSON can only stand between its parts."""
    return body.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in body or b"\r" in body else body
