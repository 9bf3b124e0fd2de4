"""A table's stream, its control table and its topic in virtual time, with any number of relays on them; every rule is checked as it goes.

What is faked is AWS; the relays are the real ones. A process that is killed is a cancelled task, and one that stands still has all of
its calls held up.
"""

import asyncio
import random
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from events.dynamo_items import to_item
from events.parcel import read_commits
from tests.support.fake_streams import refused
from tests.support.fake_table import FakeTable
from tests.unit.workers.test_packing import commit
from workers.keeping import MARGIN
from workers.lease import Leases
from workers.pacing import Pace
from workers.publishing import Publisher, Topic
from workers.relay_fleet import Fleet
from workers.stream import EventStream
from workers.walks import Walks

SECONDS = 10.0
LATENCY = 0.02
ITERATOR_SECONDS = 900.0
SLOW, FAILING = 0.2, 0.05  # of all publishes
Item = dict[str, Any]


@dataclass
class Slice:
    """One shard. `trimmed`: so many of its records are gone."""

    id: str
    parent: str
    records: list[Item] = field(default_factory=list)
    closed: bool = False
    trimmed: int = 0


class Rules(FakeTable):
    """A control table on which every write of a lease is looked at: I9."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: Counter[str] = Counter()
        self.writers: dict[tuple[str, int], str] = {}
        self.changes = 0

    def wrote(self, before: Item | None, after: Item) -> None:
        if "lease_epoch" not in after:
            return
        was = before or {"lease_epoch": {"N": "0"}, "shard_ended": {"BOOL": False}, "lease_owner": {"S": "-"}}
        writer = (was if after["lease_epoch"] == was["lease_epoch"] else after)["lease_owner"]["S"]
        known = self.writers.setdefault((after["id"]["S"], int(after["lease_epoch"]["N"])), writer)
        assert known == writer, "two wrote under one epoch"
        epochs = int(after["lease_epoch"]["N"]) - int(was["lease_epoch"]["N"])
        assert epochs in (0, 1)
        assert int(after.get("checkpoint", {"S": "0"})["S"]) >= int(was.get("checkpoint", {"S": "0"})["S"]), "a checkpoint went backwards"
        if was["shard_ended"]["BOOL"]:
            assert after["shard_ended"]["BOOL"], "a shard that was read to its end was touched again"
            assert epochs == 0, "a shard that was read to its end was touched again"
        self.ends[after["id"]["S"]] += after["shard_ended"]["BOOL"] and not was["shard_ended"]["BOOL"]
        self.changes += epochs


class World:
    """What there is in AWS. `published`: by whom each commit was, and when."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.table, self.arn = Rules(), "arn:aws:dynamodb:here:1:table/t-events/stream/2026-01-01"
        self.streams: dict[str, dict[str, Slice]] = {self.arn: {}}
        self.published: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self.tasks: dict[str, Process] = {}
        self.mute = asyncio.Event()
        """SNS throttles while it is set."""
        self.wrong: list[str] = []
        """What was published by one who had no right to."""
        self._numbers = 100
        self.calls: Counter[str] = Counter()

    @property
    def slices(self) -> dict[str, Slice]:
        """Of the table's stream of now."""
        return self.streams[self.arn]

    def open(self) -> list[Slice]:
        return [each for each in self.slices.values() if not each.closed]

    def shard(self, parent: str = "") -> Slice:
        made = Slice(f"s{sum(map(len, self.streams.values())):03}", parent)
        self.slices[made.id] = made
        return made

    def split(self, into: Slice, children: int) -> None:
        into.closed = True
        for _ in range(children):
            self.shard(into.id)

    def append(self, to: Slice) -> str:
        self._numbers += 1
        named = f"thing-{to.id}-{self._numbers}"
        told = {
            "NewImage": to_item(commit(named, 1)),
            "SequenceNumber": f"{self._numbers}",
            "ApproximateCreationDateTime": datetime.now(UTC),
        }
        to.records.append({"eventName": "INSERT", "dynamodb": told})
        return named

    def names(self) -> set[str]:
        """Every commit that was ever written and is still in a stream, or was."""
        slices = [each for stream in self.streams.values() for each in stream.values()]
        return {record["dynamodb"]["NewImage"]["stream_id"]["S"] for each in slices for record in each.records}

    def new_stream(self) -> None:
        """It was switched off and on: the old one's shards are closed."""
        for each in self.open():
            each.closed = True
        self.arn = f"{self.arn[:-2]}{len(self.streams) + 1:02}"
        self.streams[self.arn] = {}
        self.shard()

    def row(self, shard: str) -> Item:
        return next((row for ident, row in self.table.rows.items() if ident.endswith(f"#{shard}")), {})

    def owners(self) -> Counter[str]:
        """Of the open shards that may be read."""
        return Counter(self.row(each.id).get("lease_owner", {"S": "-"})["S"] for each in self.open())

    def start(self, name: str) -> "Process":
        process = self.tasks[name] = Process(self, name)
        return process


class Process:
    """One relay: its calls to AWS, each of which takes a while and may be held up."""

    def __init__(self, world: World, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.world, self.name, self.stop, self.gate = world, name, asyncio.Event(), asyncio.Event()
        self.gate.set()
        client = cast(Any, self)
        stream = EventStream(client, client, "t-events", loop.time)
        self.leases = Leases(client, "control", name, SECONDS)
        self.leases.clock = loop.time
        self.fleet = Fleet(
            stream, self.leases, Publisher(Topic(client, "topic")), lambda: Pace(None, clock=loop.time), Walks(client, "control")
        )
        self.task = loop.create_task(self.fleet.run(self.stop))

    async def end(self) -> None:
        """SIGTERM."""
        self.stop.set()
        await self.task

    async def kill(self) -> None:
        """-9: nothing of it reaches AWS any more."""
        self.gate = asyncio.Event()
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    def __getattr__(self, name: str) -> Any:
        if name not in {"get_item", "batch_get_item", "put_item", "update_item", "delete_item", "scan"}:
            raise AttributeError(name)
        return lambda **call: self._delayed(name, getattr(self.world.table, name), call)

    async def _delayed(self, name: str, answer: Any, call: Item) -> Any:
        self.world.calls[name] += 1
        await asyncio.sleep(self.world.random.random() * LATENCY)
        await self.gate.wait()
        result = await answer(**call)
        await asyncio.sleep(self.world.random.random() * LATENCY)
        await self.gate.wait()
        return result

    async def describe_table(self, **_: Any) -> Item:
        async def answer() -> Item:
            return {"Table": {"LatestStreamArn": self.world.arn}}

        return cast(Item, await self._delayed("describe_table", answer, {}))

    async def describe_stream(self, **call: Any) -> Item:
        return cast(Item, await self._delayed("describe_stream", self._describe, call))

    async def _describe(self, *, StreamArn: str, ExclusiveStartShardId: str = "", **_: Any) -> Item:  # noqa: N803
        """Two a page, children often before their parents."""
        if StreamArn not in self.world.streams:
            raise refused("ResourceNotFoundException")
        stream = self.world.streams[StreamArn]
        listed = sorted(stream.values(), key=lambda each: each.id[::-1])
        start = next((at + 1 for at, each in enumerate(listed) if each.id == ExclusiveStartShardId), 0)
        page = listed[start : start + 2]
        told: Item = {"Shards": [{"ShardId": each.id} | ({"ParentShardId": each.parent} if each.parent else {}) for each in page]}
        if start + 2 < len(listed):
            told["LastEvaluatedShardId"] = page[-1].id
        return {"StreamDescription": told}

    async def get_shard_iterator(self, **call: Any) -> Item:
        return cast(Item, await self._delayed("get_shard_iterator", self._iterator, call))

    async def _iterator(self, *, StreamArn: str, ShardId: str, SequenceNumber: str = "", **_: Any) -> Item:  # noqa: N803
        read = self.world.streams.get(StreamArn, {}).get(ShardId)
        if read is None:
            raise refused("ResourceNotFoundException")
        if read.parent in self.world.streams[StreamArn] or self.world.row(read.parent):
            assert self.world.row(read.parent)["shard_ended"]["BOOL"], "a child was read before its parent's end"
        before = [n for n, record in enumerate(read.records) if int(record["dynamodb"]["SequenceNumber"]) <= int(SequenceNumber or 0)]
        at = before[-1] + 1 if before else 0
        if SequenceNumber and at < read.trimmed:
            raise refused("TrimmedDataAccessException")
        return {"ShardIterator": f"{StreamArn} {ShardId} {max(at, read.trimmed)} {asyncio.get_running_loop().time()}"}

    async def get_records(self, **call: Any) -> Item:
        return cast(Item, await self._delayed("get_records", self._records, call))

    async def _records(self, *, ShardIterator: str, **_: Any) -> Item:  # noqa: N803
        arn, shard, at, since = ShardIterator.split()
        now, begin = asyncio.get_running_loop().time(), int(at)
        read = self.world.streams.get(arn, {}).get(shard)
        if read is None:
            raise refused("ResourceNotFoundException")
        if now - float(since) > ITERATOR_SECONDS or self.world.random.random() < 0.01:
            raise refused("ExpiredIteratorException")
        if begin < read.trimmed:
            raise refused("TrimmedDataAccessException")
        count = self.world.random.choice([0, 1, 3, 1000])  # an empty page is not the end
        page = read.records[begin : begin + count]
        following = {"NextShardIterator": f"{arn} {shard} {begin + len(page)} {now}"}
        return {"Records": page} | ({} if read.closed and begin + len(page) == len(read.records) else following)

    async def publish_batch(self, **call: Any) -> Item:
        """What was sent arrives, whether its sender still waits for the answer or not."""
        await asyncio.sleep(0)
        await self.gate.wait()
        sent = asyncio.get_running_loop().create_task(self._publish(**call))
        sent.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(sent)

    async def _publish(self, *, PublishBatchRequestEntries: list[Item], **_: Any) -> Item:  # noqa: N803
        slow = self.world.random.random() < SLOW
        await asyncio.sleep(self.world.random.random() * (MARGIN * SECONDS if slow else LATENCY))
        if self.world.mute.is_set() or self.world.random.random() < FAILING:
            raise refused("Throttling")
        for entry in PublishBatchRequestEntries:
            for each in read_commits(entry["Message"]).commits:
                shard = each.stream.split("-")[1]
                owner = self.world.row(shard)["lease_owner"]["S"]
                if owner != self.name:
                    self.world.wrong.append(f"{self.name} published of {shard}, which is {owner}'s")
                self.world.published[each.stream].append((self.name, shard))
        return {}
