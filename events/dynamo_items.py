"""A commit as a DynamoDB item and back. Pure, and a storage format: `format` is its version."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from events.envelope import ENCODER, Commit, Settled
from events.ids import StreamId, Version
from runtime.errors import Fatal

FORMAT: Final = 1
Item = dict[str, dict[str, str]]
_SETTLED: Final = msgspec.json.Decoder(tuple[Settled, ...])


class UnreadableItem(Fatal):
    """Not a commit of ours, or of a newer version."""


def to_item(commit: Commit) -> Item:
    """The key is (stream_id, first_version). Names stay clear of DynamoDB's reserved words."""
    item: Item = {
        "stream_id": {"S": commit.stream},
        "first_version": {"N": str(commit.first)},
        "last_version": {"N": str(commit.last)},
        "previous_commit": {"N": str(commit.previous)},
        "events": {"S": bytes(commit.events).decode()},
        "format": {"N": str(FORMAT)},
    }
    if commit.settled:
        item["settled"] = {"S": ENCODER.encode(commit.settled).decode()}
    return item


def from_item(item: Mapping[str, Any]) -> Commit:
    """Raises UnreadableItem. The events stay undecoded."""
    try:
        if int(item["format"]["N"]) > FORMAT:
            raise UnreadableItem(f"commit of format {item['format']['N']}")
        settled = _SETTLED.decode(item["settled"]["S"]) if "settled" in item else ()
        return Commit(
            stream=StreamId(item["stream_id"]["S"]),
            first=Version(int(item["first_version"]["N"])),
            last=Version(int(item["last_version"]["N"])),
            previous=Version(int(item["previous_commit"]["N"])),
            events=Raw(item["events"]["S"].encode()),
            settled=settled,
        )
    except (KeyError, TypeError, ValueError, msgspec.DecodeError) as wrong:
        raise UnreadableItem(f"not a commit: {type(wrong).__name__} {wrong}") from wrong
