"""This process's part in reading one stream: looks at shards and leases now and then, and keeps a reader on each lease it holds."""

import asyncio
import random
from collections import Counter
from functools import partial
from typing import Final

from runtime import logs
from runtime.errors import Retryable
from runtime.lifecycle import any_set, backoff, pause
from runtime.metrics import LEASES_GIVEN, LEASES_HELD, LEASES_LOST, LEASES_TAKEN, SHARDS_UNREAD
from workers.lease import LeaseLost, Leases
from workers.shard_reader import ShardGone, ShardReader
from workers.shards import FREE, Progress, Row, Shard
from workers.sharing import Plan, View, Watch, grants, plan, unseen
from workers.stream import EventStream, StreamGone
from workers.walks import Wish

LISTED_SECONDS: Final = 30.0
"""How old a list of shards may be when nothing says that it changed."""
LOOK_SECONDS: Final = 30.0
"""From one look to the next when every shard is ours: nobody's lease needs watching."""
WATCH_SECONDS: Final = 1.0
"""The same while others hold any: so long a lease that was handed back waits for us."""
SOON_SECONDS: Final = 0.2
_LOG: Final = logs.get("shards")


class Part:
    """One process, one stream. `current`: whether the table still writes to this stream; one that it left is read to its end."""

    def __init__(self, arn: str, stream: EventStream, leases: Leases, reader: ShardReader, walks: Wish) -> None:
        self._arn, self._stream, self._leases, self._reader, self._walks = arn, stream, leases, reader, walks
        self._label = leases.prefix.rstrip("#")
        self.current = True
        self.doubt = asyncio.Event()
        """Set when all that the stream lists was read: a stream that is written to has an open shard."""
        self.reading: dict[str, str] = {}
        """Shards read now -> to whom their lease is being handed over, or ""."""
        self._watch = Watch(leases.seconds)
        self._ended: dict[str, Row] = {}
        self._absent: set[str] = set()
        self._owners: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._asked: set[str] = set()
        self._changed = asyncio.Event()
        self._stale = True
        """The list of shards surely changed since it was read."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until there is nothing to read any more and never will be."""
        failures = 0
        async with asyncio.TaskGroup() as readers:
            while not stop.is_set():
                self._changed.clear()
                try:
                    done = await self._look(readers, stop)
                    seconds = self._rest(done)
                    failures = 0
                    if done.all_read and not self.current:
                        return
                    if done.all_read:
                        self.doubt.set()
                except StreamGone:
                    _LOG.warning("stream gone", action="leave_stream", stream=self._arn)
                    self._stream.forget(self._arn)
                    return
                except Retryable as wrong:
                    failures += 1
                    _LOG.warning("shards not found", action="plan_shards", error=str(wrong), failures=failures)
                    seconds = backoff(failures, random.random())  # noqa: S311 - jitter
                await any_set(seconds, stop, self._changed)
        SHARDS_UNREAD.labels(self._label).set(0)

    async def _look(self, readers: asyncio.TaskGroup, stop: asyncio.Event) -> Plan:
        stale, self._stale = self._stale, False
        try:
            shards = await self._stream.shards(self._arn, 0.0 if stale else LISTED_SECONDS)
            view = await self._view(shards)
        except Retryable:
            self._stale = stale
            raise
        order = {each: random.random() for each in (*view.rows, *view.reading, *(row.owner for row in view.rows.values()))}  # noqa: S311
        found = plan(view, order)
        self._owners = Counter(found.owners)
        self._alarm(found)
        for shard in found.take:
            await self._start(shard, view, readers, stop)
        if found.ask is not None and not stop.is_set():
            self._asked.add(view.rows[found.ask.id].key)
            await self._leases.ask(view.rows[found.ask.id])
            _LOG.info("lease asked for", action="ask_lease", shard=found.ask.id, owner=view.rows[found.ask.id].owner)
        await self._give_up(found.lost)
        return found

    async def _view(self, shards: list[Shard]) -> View:
        names = {shard.id for shard in shards} | {shard.parent for shard in shards if shard.parent}
        reading = frozenset(self.reading)  # one that ends while we ask is looked at next time
        keys = {self._leases.key(self._arn, name): name for name in sorted(names - reading - self._ended.keys())}
        asked = self._leases.clock()
        read = await self._leases.read(keys) if keys else {}
        still = self._watch.saw(read.values(), asked, self._leases.clock())
        rows = {name: read[key] for key, name in keys.items()}
        for name, row in rows.items():
            if row.progress.ended:  # for good; and its children may be listed by now
                self._ended[name] = row
                self._stale = True
                self._changed.set()
        self._ended = {name: row for name, row in self._ended.items() if name in names}
        return View(
            self._leases.owner,
            shards,
            self._ended | rows,
            {name: still[key] for key, name in keys.items()},
            reading,
        )

    def _alarm(self, found: Plan) -> None:
        SHARDS_UNREAD.labels(self._label).set(len(found.unread))
        for shard in found.unread:
            _LOG.error("nobody reads this shard", action="watch_shards", shard=shard.id, leases=self._label)

    async def _start(self, shard: Shard, view: View, readers: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        if stop.is_set():
            return
        if unseen(shard, view):
            await self._walks.want(f"shard {shard.id} is read, and the shards before it are gone")
        seen = view.rows[shard.id]
        try:
            row = await self._leases.take(seen)
        except LeaseLost:
            return
        how = self._how(seen)
        LEASES_TAKEN.labels(self._label, how).inc()
        self._asked.discard(seen.key)
        _LOG.info("lease taken", action="take_lease", shard=shard.id, epoch=row.epoch, leases=self._label, was=how)
        self.reading[shard.id] = ""
        readers.create_task(self._read(shard, row, stop))
        LEASES_HELD.labels(self._label).set(len(self.reading))

    async def _read(self, shard: Shard, row: Row, stop: asyncio.Event) -> None:
        try:
            progress = await self._reader.read(self._arn, shard, row, stop, partial(self._grant, shard.id))
            self._failures.pop(shard.id, None)
            self._stale = self._stale or progress.ended
        except LeaseLost as wrong:
            LEASES_LOST.labels(self._label).inc()
            _LOG.warning("lease lost", action="lose_lease", shard=shard.id, epoch=row.epoch, error=str(wrong))
        except Retryable as wrong:
            self._stale = self._stale or isinstance(wrong, ShardGone)
            self._failures[shard.id] += 1
            _LOG.warning("shard given up for now", action="read_shard", shard=shard.id, error=str(wrong))
            await pause(stop, backoff(self._failures[shard.id], random.random()))  # noqa: S311 - jitter
        finally:
            if self.reading.pop(shard.id):
                LEASES_GIVEN.labels(self._label).inc()
            LEASES_HELD.labels(self._label).set(len(self.reading))
            self._changed.set()

    def _grant(self, shard: str, to: str) -> bool:
        """Whether `to`, who asked for this lease, gets it."""
        going = Counter(self.reading.values())
        given = grants(going[""], self._owners[to] + going[to])
        if given:
            self.reading[shard] = to
        return given

    async def _give_up(self, lost: list[Row]) -> None:
        """Shards that vanished before they were read to their end: the walk finds their commits, and their children may begin."""
        for row in lost:
            if row.key not in self._absent:
                self._stale = True  # one list may have been incomplete: seen as gone twice, it is
                self._changed.set()
                continue
            await self._walks.want(f"the shard of {row.key} was trimmed before it was read to its end")
            _LOG.error("shard lost to the stream's age", action="lose_shard", lease=row.key)
            try:
                held = await self._leases.take(row)
                await self._leases.release(held, Progress(held.progress.sequence, ended=True))
            except LeaseLost:
                continue
            self._changed.set()
        self._absent = {row.key for row in lost}

    def _rest(self, found: Plan) -> float:
        """Seconds to the next look, when nothing happens meanwhile."""
        if found.asked or found.ask is not None:
            return max(SOON_SECONDS, self._leases.seconds / 10)
        return LOOK_SECONDS if found.all_ours else min(WATCH_SECONDS, self._leases.seconds / 4)

    def _how(self, seen: Row) -> str:
        if seen.owner == FREE:
            return "free"
        if seen.owner != self._leases.owner:
            return "expired"
        return "asked" if seen.key in self._asked else "own"
