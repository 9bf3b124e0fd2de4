"""The write units of a commit, worked out without building its item. Pure.

The event store appends hundreds of commits a second: this is `runtime.item_size` of `events.dynamo_items.to_item`, which a test
holds it to, at a fraction of the time.
"""

from typing import Final

from msgspec import Raw

from events.dynamo_items import to_item
from events.envelope import ENCODER, Commit
from events.ids import StreamId, Version
from runtime.item_size import WRITE_BYTES, item_size, number_size, text_size, write_units

_NOTHING: Final = Version(0)
_FIXED: Final = item_size(to_item(Commit(StreamId(""), _NOTHING, _NOTHING, _NOTHING, Raw(b"")))) - 3 * number_size("0")
"""The names, and what is the same in every item."""
_SETTLED: Final = len("settled")
_MOST_BESIDE: Final = _FIXED + 3 * number_size("9" * 19)
"""Of a commit without `settled`, everything but the stream's name and the events, at most."""
_UTF8_MOST: Final = 4


def commit_units(commit: Commit) -> int:
    """Write units of one standard write."""
    if not commit.settled and _MOST_BESIDE + _UTF8_MOST * len(commit.stream) + len(commit.events) <= WRITE_BYTES:
        return 1
    return write_units(commit_size(commit))


def commit_size(commit: Commit) -> int:
    """Bytes of its item."""
    numbers = number_size(str(commit.first)) + number_size(str(commit.last)) + number_size(str(commit.previous))
    settled = _SETTLED + len(ENCODER.encode(commit.settled)) if commit.settled else 0
    return _FIXED + numbers + text_size(commit.stream) + len(commit.events) + settled
