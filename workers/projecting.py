"""What both projectors do around their batches: take messages apart, tell which of them are done, tell others."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import redis.exceptions
from msgspec import MsgspecError

from events.envelope import ENCODER, Commit
from events.ids import MAX_VERSION, StreamId, stream_parts
from events.outcome import projected_channel
from events.parcel import NewerParcel, Stub, UnreadableParcel, read_commits
from readmodel.verdicts import well_formed
from runtime import logs
from runtime.metrics import DISCARDS, PASSED_AT
from workers.consumer import Delivery, Handled

if TYPE_CHECKING:
    from redis.asyncio import Redis

TELL_SECONDS: Final = 0.05
_LOG: Final = logs.get("projecting")


@dataclass(slots=True)
class Opened:
    """A batch of messages taken apart."""

    commits: list[Commit] = field(default_factory=list)
    stubs: list[Stub] = field(default_factory=list)
    streams: dict[str, set[StreamId]] = field(default_factory=dict)
    """Message id -> the streams it speaks of; a message that is left to others is not in it."""
    poison: list[tuple[Delivery, str]] = field(default_factory=list)
    newer: set[str] = field(default_factory=set)
    """Ids of messages that a newer worker must take."""

    def handled(self, deliveries: Sequence[Delivery], not_passed: Collection[StreamId] = ()) -> Handled:
        """Done is every message all of whose streams were passed; one that waits, for a stream or a newer worker, is not to blame."""
        left = set(not_passed)
        waits = {ident for ident, streams in self.streams.items() if streams & left}
        done = [each for each in deliveries if each.message_id in self.streams and each.message_id not in waits]
        return Handled(done, self.poison, spared=waits | self.newer, waited=bool(waits))


def open_deliveries(deliveries: Sequence[Delivery]) -> Opened:
    """A parcel of a newer wire version is left for a newer worker; what is no parcel of ours is poison."""
    opened = Opened()
    for delivery in deliveries:
        try:
            parcel = read_commits(delivery.body)
            _check(parcel.commits, parcel.stubs)
        except NewerParcel as newer:
            _LOG.warning("parcel left to a newer worker", action="open", detail=str(newer))
            opened.newer.add(delivery.message_id)
        except UnreadableParcel as wrong:
            DISCARDS.labels("projector", "unreadable").inc()
            opened.poison.append((delivery, f"unreadable: {wrong}"))
        else:
            opened.commits += parcel.commits
            opened.stubs += parcel.stubs
            opened.streams[delivery.message_id] = _streams(parcel.commits, parcel.stubs)
    return opened


def _check(commits: Sequence[Commit], stubs: Sequence[Stub]) -> None:
    for commit in commits:
        if not well_formed(commit):
            raise UnreadableParcel(f"versions {commit.first}-{commit.last} after {commit.previous} are no commit's")
    for stub in stubs:
        if not 1 <= stub.first <= stub.last <= MAX_VERSION:
            raise UnreadableParcel(f"versions {stub.first}-{stub.last} are no stub's")
    if any(stream_parts(stream) is None for stream in _streams(commits, stubs)):
        raise UnreadableParcel("a stream's name is none")


def _streams(commits: Sequence[Commit], stubs: Sequence[Stub]) -> set[StreamId]:
    return {commit.stream for commit in commits} | {stub.stream for stub in stubs}


async def tell(client: "Redis", stack: str, projector: str, reached: dict[StreamId, int]) -> None:
    """Best effort, within 50 ms: whoever waits looks for itself at its deadline."""
    if not reached:
        return
    try:
        async with asyncio.timeout(TELL_SECONDS):
            await client.publish(projected_channel(stack, projector), ENCODER.encode(list(reached.items())))
    except (redis.exceptions.RedisError, TimeoutError, OSError) as wrong:
        _LOG.warning("not told", action="tell", error=type(wrong).__name__, streams=len(reached))


class Passed:
    """For `headrace status`: the time of the newest commit that this projector has passed. Batches end in any order."""

    def __init__(self) -> None:
        self._at = 0

    def note(self, commits: Sequence[Commit]) -> None:
        for commit in commits:
            with suppress(IndexError, MsgspecError):  # a commit that is parked for being unreadable has no time
                self._at = max(self._at, commit.recorded()[-1].at)
        PASSED_AT.set(self._at / 1_000_000)
