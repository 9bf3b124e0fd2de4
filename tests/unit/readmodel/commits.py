"""Commits to test with: small, real, in the store's own form."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from events.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from events.domain import Registry
from events.envelope import Commit, Recorded
from events.ids import CommandId, Fingerprint, StreamId, Version
from events.memory_store import MemoryStore
from events.parcel import Stub, encode_commit, pack_commits
from readmodel.domains import registry
from runtime.settings import Settings
from runtime.times import Micros
from workers.consumer import Delivery

REGISTRY = registry(Settings())
T0 = 1_700_000_000_000_000


def comment(ident: str | int) -> StreamId:
    return StreamId(f"comment-{ident}")


def commit(
    stream: StreamId,
    first: int,
    previous: int,
    *events: Struct,
    actor: str = "ann",
    command: str = "",
    registry: Registry = REGISTRY,
) -> Commit:
    """`events` from version `first` on; the last one's command id is unique to its version unless named."""
    recorded = []
    for version, event in enumerate(events, first):
        name, data = registry.write(event)
        recorded.append(
            Recorded(
                name=name,
                data=data,
                at=Micros(T0 + version * 1000),
                actor=actor,
                command_id=CommandId(command or f"c{version}"),
                fingerprint=Fingerprint("f" * 16),
            )
        )
    return Commit(stream, Version(first), Version(first + len(events) - 1), Version(previous), Raw(msgspec.json.encode(recorded)))


def history(stream: StreamId, picture: str = "p", *, updates: int = 0, deleted: bool = False, each: int = 1) -> list[Commit]:
    """A comment's life, `each` events a commit."""
    events: list[Struct] = [CommentCreated(picture, "ann", f"first of {stream}")]
    events += [CommentUpdated(f"text {number} of {stream}") for number in range(updates)]
    events += [CommentDeleted()] if deleted else []
    return chain(stream, events, each)


def chain(stream: StreamId, events: Sequence[Struct], each: int = 1, registry: Registry = REGISTRY) -> list[Commit]:
    """Commits that follow one another."""
    commits, previous = [], 0
    for start in range(0, len(events), each):
        commits.append(commit(stream, start + 1, previous, *events[start : start + each], registry=registry))
        previous = start + 1
    return commits


def broken(stream: StreamId, first: int, previous: int, events: str) -> Commit:
    """A commit whose events are this JSON."""
    return Commit(stream, Version(first), Version(first), Version(previous), Raw(events.encode()))


async def stored(store: MemoryStore, *commits: Commit) -> list[Commit]:
    await store.append(commits)
    return list(commits)


def delivery(*commits: Commit, stubs: Sequence[Stub] = (), number: int = 0) -> Delivery:
    body = pack_commits(0, [encode_commit(each) for each in commits], stubs)  # type: ignore[arg-type]
    return Delivery(f"m{number}", f"r{number}", "0", body, 1)
