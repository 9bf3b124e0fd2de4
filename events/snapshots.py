"""A snapshot: a stream's state and window of ids at one commit, so that a long stream need not be read from its beginning.

It is a short cut and never an authority: whoever uses one reads the commit that it ends at, and what follows, from the store, and
ignores a snapshot that does not fit there. Pure, and a storage format: `format` is its version.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from events.domain import Registry
from events.envelope import ENCODER, Commit
from events.history import WINDOW, History, Seen
from events.ids import StreamId, Version
from runtime.errors import HeadraceError
from runtime.item_size import item_size
from runtime.times import Micros

FORMAT: Final = 1
EVERY_EVENTS: Final = 1_000
EVERY_BYTES: Final = 384 * 1024
"""Of events since the last one: with the commit a tail begins at, it fits the megabyte that one query answers."""
MOST_BYTES: Final = 400 * 1024
"""DynamoDB's bound for an item."""
Item = dict[str, dict[str, str]]


class Unusable(HeadraceError):  # noqa: N818 - a verdict, always caught
    """A snapshot that cannot be written or used; `reason` is a stable word for the metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Known(Struct, frozen=True, array_like=True):
    """One id of the window, oldest first. An array: add fields at the end."""

    actor: str
    command_id: str
    fingerprint: str
    version: Version
    at: Micros
    reason: str = ""
    detail: str = ""
    no_effect: bool = False


class Snapshot(Struct, frozen=True, omit_defaults=True):
    """A stream as it was right after one commit."""

    stream: StreamId
    shape: str
    """See events.shape."""
    first: Version
    """Key of the commit it ends at; `version` and `previous` are that commit's too."""
    version: Version
    previous: Version
    at: Micros
    state: Raw
    seen: list[Known]
    floor: Micros | None = None

    def ends_at(self, commit: Commit) -> bool:
        """The commit is the very one this snapshot was taken after, by its place and by its last event."""
        if (commit.stream, commit.first, commit.last, commit.previous) != (self.stream, self.first, self.version, self.previous):
            return False
        recorded = commit.recorded()
        if not recorded or not self.seen:
            return False
        last, known = recorded[-1], self.seen[-1]
        told = (known.actor, known.command_id, known.fingerprint, known.version, self.at)
        return told == (last.actor, last.command_id, last.fingerprint, commit.last, last.at)


_DECODER: Final = msgspec.json.Decoder(Snapshot)


def is_due(history: History) -> bool:
    """Enough has come since the last one."""
    return history.version - history.snapshot >= EVERY_EVENTS or history.grown >= EVERY_BYTES


def take(history: History, registry: Registry) -> Snapshot | None:
    """Of a history that was read with the window; None when its domain keeps no states. Raises Unusable."""
    shape = registry.shape_of(history.stream)
    if not shape:
        return None
    return Snapshot(
        stream=history.stream,
        shape=shape,
        first=history.commit_first,
        version=history.version,
        previous=history.commit_previous,
        at=history.at,
        state=_kept(history),
        seen=[
            Known(actor, ident, seen.fingerprint, Version(seen.version), seen.at, seen.reason, seen.detail, seen.no_effect)
            for (actor, ident), seen in history.seen.items()
        ],
        floor=history.floor,
    )


def _kept(history: History) -> Raw:
    """The state as JSON that reads back as the same state, or it is not kept at all."""
    try:
        state = ENCODER.encode(history.state)
        if msgspec.json.decode(state, type=history.decider.state) != history.state:
            raise Unusable("unfaithful")
    except (TypeError, ValueError, msgspec.MsgspecError) as wrong:
        raise Unusable("unfaithful") from wrong
    return Raw(state)


def to_item(snapshot: Snapshot) -> Item:
    """The key is stream_id. Raises Unusable when DynamoDB would not take it."""
    item: Item = {
        "stream_id": {"S": snapshot.stream},
        "last_version": {"N": str(snapshot.version)},
        "body": {"S": ENCODER.encode(snapshot).decode()},
        "format": {"N": str(FORMAT)},
    }
    if item_size(item) > MOST_BYTES:
        raise Unusable("too_large")
    return item


def from_item(item: Mapping[str, Any]) -> Snapshot:
    """Raises Unusable: `newer`, or `unreadable`."""
    try:
        if int(item["format"]["N"]) > FORMAT:
            raise Unusable("newer")
        snapshot = _DECODER.decode(item["body"]["S"])
        if snapshot.stream != item["stream_id"]["S"] or snapshot.version != int(item["last_version"]["N"]):
            raise Unusable("unreadable")
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as wrong:
        raise Unusable("unreadable") from wrong
    return snapshot


def restore(snapshot: Snapshot, registry: Registry) -> History:
    """The history as it was; to be used only where `ends_at` held. Raises Unusable: `other_shape`, or `unreadable`."""
    domain = registry.of_stream(snapshot.stream)
    if domain is None or snapshot.shape != registry.shape_of(snapshot.stream):
        raise Unusable("other_shape")
    if len(snapshot.seen) > WINDOW:
        raise Unusable("unreadable")
    history = History(snapshot.stream, domain.decider)
    try:
        history.state = msgspec.json.decode(snapshot.state, type=domain.decider.state)
    except (ValueError, msgspec.MsgspecError) as wrong:
        raise Unusable("unreadable") from wrong
    for each in snapshot.seen:
        seen = Seen(each.fingerprint, each.version, each.reason, each.detail, each.at, each.no_effect)
        history.remember((each.actor, each.command_id), seen)
    history.floor, history.at = snapshot.floor, snapshot.at
    history.version, history.commit_first, history.commit_previous = snapshot.version, snapshot.first, snapshot.previous
    history.snapshot = snapshot.version
    return history


def bear_out(snapshot: Snapshot, commits: Sequence[Commit]) -> None:
    """`commits`: the store's, from the one that the snapshot says it ends at. Raises Unusable: `wrong`."""
    try:
        if commits and snapshot.ends_at(commits[0]):
            return
    except ValueError as wrong:
        raise Unusable("wrong") from wrong
    raise Unusable("wrong")
