"""The event store into the spool: all of it by a parallel scan, and later what was appended meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from events.dynamo_items import UnreadableItem, from_item
from events.envelope import ENCODER, Commit, Settled
from events.ids import MAX_VERSION, StreamId, Version
from events.store import EventStore
from headrace.audit.scanning import Scan
from headrace.audit.spool import Kept, Spool

SEGMENTS: Final = 8
"""Of a scan on AWS; an emulator takes as long for each page as for the whole table, and gets one."""
ATTEMPTS: Final = 6
ROUNDS: Final = 8
"""Of a commit a stream each, many streams a call; what is longer is read stream by stream."""
Told = Callable[[int], None]
"""So many commits more were read."""
_T = TypeVar("_T")
_SETTLED: Final = msgspec.json.Decoder(tuple[Settled, ...])


class _At(Struct):
    at: int


_ATS: Final = msgspec.json.Decoder(list[_At])


async def read_all(scan: Scan, spool: Spool, segments: int, told: Told, *, times: bool) -> None:
    """Every commit that is there when this begins. `times`: somebody will ask when streams were last written to."""
    async with asyncio.TaskGroup() as group:
        for segment in range(segments):
            group.create_task(_read(scan, spool, (segment, segments), told, times=times))
    await spool.find_heads()


async def _read(scan: Scan, spool: Spool, which: tuple[int, int], told: Told, *, times: bool) -> None:
    start: bytes | None = None
    while True:
        items, start = await scan.page(*which, start)
        await spool.keep([_kept(item, times=times) for item in items])
        told(len(items))
        if start is None:
            return


async def read_tails(store: EventStore, spool: Spool, between: Callable[[], Awaitable[None]]) -> None:
    """What the store holds of the streams in `tails` beyond the version noted there, at least as far as it is wanted."""
    async for page in spool.rows("SELECT stream, version, wanted FROM tails"):
        short = {StreamId(stream): (Version(version), wanted) for stream, version, wanted in page}
        for _ in range(ROUNDS):
            found = await _beyond(store, [(stream, Version(version + 1)) for stream, (version, _) in short.items()])
            await spool.keep(found)
            await between()
            short = _still(short, found)
            if not short:
                break
        for stream, (version, _) in short.items():
            await spool.keep([_of(commit, None) for commit in await store.load(stream, version)])
            await between()


def _still(short: Mapping[StreamId, tuple[Version, int]], found: Sequence[Kept]) -> dict[StreamId, tuple[Version, int]]:
    """Those of which something came, and not enough."""
    ends = {StreamId(each.stream): Version(each.last) for each in found if each.last >= each.first}
    return {stream: (end, short[stream][1]) for stream, end in ends.items() if end < short[stream][1]}


async def _beyond(store: EventStore, keys: Sequence[tuple[StreamId, Version]]) -> list[Kept]:
    """The commits with these keys, as far as they are there."""
    try:
        return [_of(commit, None) for commit in (await store.read(keys)).commits.values()]
    except UnreadableItem:
        if len(keys) > 1:
            return [each for key in keys for each in await _beyond(store, [key])]
        [(stream, first)] = keys
        return [_unreadable(stream, first, "its item is no commit of this release")]


def _kept(item: Mapping[str, Any], *, times: bool) -> Kept:
    try:
        return _of(from_item(item), item["settled"]["S"] if "settled" in item else None, times=times)
    except UnreadableItem as wrong:
        return _unreadable(item["stream_id"]["S"], int(item["first_version"]["N"]), str(wrong))


def _of(commit: Commit, settled: str | None, *, times: bool = False) -> Kept:
    if not all(0 <= number <= MAX_VERSION for number in (commit.first, commit.last, commit.previous)):
        return _unreadable(commit.stream, commit.first, "versions beyond all bounds")
    if settled is None and commit.settled:
        settled = ENCODER.encode(commit.settled).decode()
    events = bytes(commit.events)
    return Kept(commit.stream, commit.first, commit.last, commit.previous, _at(events) if times else 0, settled, events)


def _unreadable(stream: str, first: int, why: str) -> Kept:
    return Kept(stream, max(-1, min(first, MAX_VERSION)), -1, -1, 0, why, None)


def _at(events: bytes) -> int:
    """Of the last event; 0 when they cannot be read, which is told elsewhere."""
    try:
        return min(MAX_VERSION, max(0, max((each.at for each in _ATS.decode(events)), default=0)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0


def commit_of(kept: Kept) -> Commit:
    """Of one that could be read."""
    settled = _SETTLED.decode(kept.settled) if kept.settled else ()
    return Commit(
        StreamId(kept.stream), Version(kept.first), Version(kept.last), Version(kept.previous), msgspec.Raw(kept.events or b""), settled
    )
