"""A stream as it was, folded from the event store: its history, and a comment as of a version or a time."""

from collections.abc import Iterator
from typing import Final

from msgspec import Raw, Struct

from events.comments.decider import Comment
from events.domain import Registry, public_name
from events.envelope import Commit, Recorded
from events.history import BrokenStream
from events.ids import StreamId, Version, stream_parts
from events.store import EventStore
from readmodel.answers import CommentView
from readmodel.comments.domain import DOMAIN
from runtime.times import Micros, rfc3339

_EVOLVE: Final = DOMAIN.decider.evolve


class HistoryEvent(Struct, frozen=True):
    """An event as callers see it: its public name, its data in today's form."""

    version: int
    name: str
    data: Raw
    at: str
    actor: str
    command_id: str


async def history(store: EventStore, registry: Registry, stream: StreamId) -> list[HistoryEvent] | None:
    """None for an unknown stream. Raises Retryable, BrokenStream."""
    commits = await store.load(stream)
    if not commits:
        return None
    return [public_event(registry, version, recorded) for version, recorded in _events(commits)]


async def comment_as_of(
    store: EventStore,
    registry: Registry,
    stream: StreamId,
    *,
    version: int | None = None,
    at: Micros | None = None,
) -> CommentView | None:
    """None where the comment was not there: before its creation, beyond its head, where it is deleted."""
    events = [
        (number, recorded)
        for number, recorded in _events(await store.load(stream))
        if (version is None or number <= version) and (at is None or recorded.at <= at)
    ]
    if not events or (version is not None and events[-1][0] != version):
        return None
    comment: Comment | None = None
    for _, recorded in events:
        comment = _EVOLVE(comment, registry.read(recorded.name, recorded.data), recorded.at)
    return None if comment is None or comment.deleted else _view(stream, events[-1][0], comment)


def _events(commits: list[Commit]) -> Iterator[tuple[Version, Recorded]]:
    version = 0
    for commit in commits:
        if commit.first != version + 1:
            raise BrokenStream(f"{commit.stream}: commit {commit.first} does not follow version {version}")
        for recorded in commit.recorded():
            version += 1
            yield Version(version), recorded


def public_event(registry: Registry, version: Version, recorded: Recorded) -> HistoryEvent:
    """As callers see it. What an upcast raises is the domain's own."""
    name, data = registry.current(recorded.name, recorded.data)
    return HistoryEvent(version, public_name(name), data, rfc3339(recorded.at), recorded.actor, recorded.command_id)


def _view(stream: StreamId, version: Version, comment: Comment) -> CommentView:
    parts = stream_parts(stream)
    return CommentView(
        parts.id if parts else stream,
        comment.picture_id,
        comment.author,
        comment.text,
        version,
        rfc3339(comment.created_at),
        rfc3339(comment.updated_at),
    )
