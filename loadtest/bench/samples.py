"""What the ceilings are measured with: commands and commits like those of the bench, in parts, numbered so that none is anybody's twice."""

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from events.envelope import Command, Commit
from events.ids import CommandId, Fingerprint, StreamId, Version
from loadtest.bench.ceilings import PASSES
from loadtest.bench.job import TEXT
from runtime.times import Micros

MESSAGES: Final = 10
"""Of one call."""


def passes_of(items: int) -> list[range]:
    """The numbers of each pass's items: none is anybody's twice."""
    return [range(each * items, (each + 1) * items) for each in range(PASSES)]


def entries_of(body: str, parcels: Sequence[str], groups: int, numbers: range) -> list[dict[str, str]]:
    """Of batches of MESSAGES, for a FIFO queue or topic, which calls the message's text `body`."""
    return [
        {
            "Id": str(n % MESSAGES),
            body: parcel,
            "MessageGroupId": str(n % groups),
            "MessageDeduplicationId": f"alone-{numbers.start}-{n}",
        }
        for n, parcel in enumerate(parcels)
    ]


def parts_of(items: Sequence[Any], size: int) -> list[Any]:
    """So many at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def command_of(number: int) -> Command:
    """The creation of a stream of its own."""
    data = Raw(msgspec.json.encode({"picture_id": "picture-01", "text": TEXT, "comment_id": f"alone-{number:06}"}))
    identity = CommandId(f"alone-{number:06}")
    return Command(
        identity, "comment.create", stream_of(number), data, Fingerprint("0" * 16), Micros(time.time_ns() // 1000), actor="bench"
    )


def commit_of(number: int) -> Commit:
    """What such a creation becomes."""
    data = {"picture_id": "picture-01", "author": "bench", "text": TEXT}
    event = {"name": "comment.created.v1", "data": data, "at": time.time_ns() // 1000, "actor": "bench"}
    identity = {"command_id": f"alone-{number:06}", "fingerprint": "0" * 16}
    return Commit(stream_of(number), Version(1), Version(1), Version(0), Raw(msgspec.json.encode([{**event, **identity}])))


def stream_of(number: int) -> StreamId:
    """Of the item of that number."""
    return StreamId(f"comment-alone-{number:06}")
