"""What the event store alone can tell: every event of a stream, and an aggregate as it was at a version or a time."""

from typing import Any, NamedTuple

from msgspec import Raw, Struct

from events.comments.decider import Comment
from events.domain import Registry, public_name
from events.envelope import Recorded
from events.ids import EMPTY, StreamId, Version, stream_parts
from events.store import EventStore
from readmodel.answers import CommentView
from runtime.times import Micros, rfc3339


class HistoryEvent(Struct, frozen=True):
    """One event as callers see it: public name, today's shape."""

    version: int
    name: str
    data: Raw
    at: str
    actor: str
    command_id: str


class AsOf(NamedTuple):
    """An aggregate's state after one of its versions."""

    state: Any
    version: Version


async def history(store: EventStore, registry: Registry, stream: StreamId) -> list[HistoryEvent] | None:
    """All events, oldest first; None for a stream that is not there."""
    recorded = await _recorded(store, stream)
    return [_shown(registry, number, each) for number, each in enumerate(recorded, start=1)] or None


async def state_as_of(
    store: EventStore, registry: Registry, stream: StreamId, *, version: int | None = None, at: Micros | None = None
) -> AsOf | None:
    """The fold up to and with `version`, or of what had happened by `at`. None where the stream had no such moment."""
    domain = registry.of_stream(stream)
    recorded = await _recorded(store, stream)
    count = sum(1 for each in recorded if each.at <= at) if at is not None else version or 0
    if domain is None or not 1 <= count <= len(recorded):
        return None
    state = domain.decider.initial
    for each in recorded[:count]:
        state = domain.decider.evolve(state, registry.read(each.name, each.data), each.at)
    return AsOf(state, Version(EMPTY + count))


async def comment_as_of(
    store: EventStore, registry: Registry, stream: StreamId, *, version: int | None = None, at: Micros | None = None
) -> CommentView | None:
    """A comment as it was; None before its creation, where it is deleted, and beyond its last version."""
    found = await state_as_of(store, registry, stream, version=version, at=at)
    parts = stream_parts(stream)
    if found is None or parts is None or not isinstance(found.state, Comment) or found.state.deleted:
        return None
    comment = found.state
    return CommentView(
        comment_id=parts.id,
        picture_id=comment.picture_id,
        author=comment.author,
        text=comment.text,
        version=found.version,
        created_at=rfc3339(comment.created_at),
        updated_at=rfc3339(comment.updated_at),
    )


async def _recorded(store: EventStore, stream: StreamId) -> list[Recorded]:
    return [recorded for commit in await store.load(stream) for recorded in commit.recorded()]


def _shown(registry: Registry, version: int, recorded: Recorded) -> HistoryEvent:
    name, data = registry.current(recorded.name, recorded.data)
    return HistoryEvent(version, public_name(name), data, rfc3339(recorded.at), recorded.actor, recorded.command_id)
