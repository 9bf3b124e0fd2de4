"""I2 and I3 on one stream's commits, as they lie in the event store. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from events.envelope import Commit
from headrace.audit.findings import Difference


def check_stream(stream: str, commits: Sequence[Commit]) -> Iterator[Difference]:
    """`commits` in the order of their first versions."""
    yield from _versions(stream, commits)
    yield from _identities(stream, commits)


def _versions(stream: str, commits: Sequence[Commit]) -> Iterator[Difference]:
    """1..n without hole, repeat or overlap, and each commit names the one before it."""
    last, previous = 0, 0
    for commit in commits:
        if commit.first != last + 1:
            yield Difference("I3", stream, f"commit {commit.first} follows version {last}")
        if commit.previous != previous:
            yield Difference("I3", stream, f"commit {commit.first} names {commit.previous} as the one before it, not {previous}")
        if commit.last < commit.first:
            yield Difference("I3", stream, f"commit {commit.first} ends at {commit.last}")
        last, previous = commit.last, commit.first


def _identities(stream: str, commits: Sequence[Commit]) -> Iterator[Difference]:
    """One command, one effect: its events lie together in one commit, and nobody remembers it as without effect."""
    acted: dict[tuple[str, str], int] = {}
    for commit in commits:
        try:
            recorded = commit.recorded()
        except (msgspec.ValidationError, msgspec.DecodeError) as wrong:
            yield Difference("I3", stream, f"commit {commit.first} cannot be read: {wrong}")
            continue
        if len(recorded) != commit.last - commit.first + 1:
            yield Difference("I3", stream, f"commit {commit.first} holds {len(recorded)} events for {commit.first}..{commit.last}")
        before = None
        for event in recorded:
            identity = (event.actor, event.command_id)
            if identity in acted and identity != before:
                yield Difference("I2", stream, f"command {event.command_id} acted in commits {acted[identity]} and {commit.first}")
            acted.setdefault(identity, commit.first)
            before = identity
        for settled in commit.settled:
            if (settled.actor, settled.command_id) in acted:
                yield Difference("I2", stream, f"command {settled.command_id} acted, and is kept as without effect")
