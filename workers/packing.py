"""A page of stream records as publish calls. Pure.

Commits of one partition travel together; a call carries at most ten parcels and 256 KiB. Of one partition there is never more than
one parcel in a call, nor in flight: a parcel that fails is tried again before anything later of its partition leaves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec

from events.dynamo_items import UnreadableItem, from_item
from events.envelope import ENCODER, Commit
from events.ids import Partition, StreamId, Version, partition_of, stream_parts
from events.parcel import MAX_BYTES, OVERHEAD, Stub, encode_commit, pack_commits, read_commits

ENTRIES: Final = 10  # of one PublishBatch
GROUPS: Final = 8
"""Message groups of the read side. Fewer than the commands' partitions, so that one page of records is one publish call and one
receive of each projector; a divisor of 16 and 256, so that a partition's streams stay together."""
CALL_BYTES: Final = MAX_BYTES - 4096  # room for what the request adds to its messages


@dataclass(frozen=True, slots=True)
class Parcel:
    """One SNS message."""

    partition: Partition
    body: str
    size: int

    @property
    def once(self) -> str:
        """The same body published again within five minutes is one message."""
        return blake2b(self.body.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Page:
    """What a page of records asks us to publish."""

    commits: list[Commit]
    stubs: list[Stub]
    """Commits that are there but cannot be read here: the projector reads them from the store, and parks what it must."""
    foreign: int
    """Records that nobody of us writes: changes and removals, and items that are no commits at all."""


def sequence(record: Mapping[str, Any]) -> str:
    """A stream record's sequence number."""
    number: str = record["dynamodb"]["SequenceNumber"]
    return number


def read_page(records: Iterable[Mapping[str, Any]]) -> Page:
    """Take a GetRecords answer's records apart."""
    page = Page([], [], 0)
    foreign = 0
    for record in records:
        image = record.get("dynamodb", {}).get("NewImage", {})
        if record.get("eventName") != "INSERT":
            foreign += 1
            continue
        try:
            commit = from_item(image)
            commit.recorded()  # copied into the parcel as they are: no JSON in there would spoil its neighbours
            page.commits.append(commit)
        except (UnreadableItem, msgspec.DecodeError, RecursionError):
            stub = stub_of(image)
            if stub is None:
                foreign += 1
            else:
                page.stubs.append(stub)
    return Page(page.commits, page.stubs, foreign)


def stub_of(image: Mapping[str, Any]) -> Stub | None:
    """Which commit an item is, its events left alone; None when it is none."""
    try:
        stream, first = image["stream_id"]["S"], int(image["first_version"]["N"])
        last = int(image.get("last_version", image["first_version"])["N"])
    except (KeyError, TypeError, ValueError):
        return None
    return Stub(StreamId(stream), Version(first), Version(last)) if stream_parts(stream) else None


def stubbed(parcel: Parcel) -> Parcel:
    """The same parcel with a stub in place of each commit, for one that SNS refuses: what is in it is then read from the store."""
    packed = read_commits(parcel.body)
    stubs = [*(Stub(commit.stream, commit.first, commit.last) for commit in packed.commits), *packed.stubs]
    return _parcel(parcel.partition, (), stubs)


def carried(parcel: Parcel) -> Iterable[tuple[StreamId, Version]]:
    """Stream and first version of everything in a parcel."""
    packed = read_commits(parcel.body)
    yield from ((commit.stream, commit.first) for commit in packed.commits)
    yield from ((stub.stream, stub.first) for stub in packed.stubs)


def plan(page: Page, partitions: int = GROUPS) -> list[list[list[Parcel]]]:
    """Rounds of calls: the calls of a round may be in flight together, the next round waits for all of them."""
    queues: dict[Partition, list[Parcel]] = {}
    for partition, pieces, stubs in _by_partition(page, partitions):
        queues[partition] = list(_parcels(partition, pieces, stubs))
    rounds: list[list[list[Parcel]]] = []
    while queues:
        rounds.append(_calls([parcels.pop(0) for parcels in queues.values()]))
        queues = {partition: parcels for partition, parcels in queues.items() if parcels}
    return rounds


def _by_partition(page: Page, partitions: int) -> Iterable[tuple[Partition, list[bytes], list[Stub]]]:
    pieces: dict[Partition, list[bytes]] = {}
    stubs: dict[Partition, list[Stub]] = {}
    for commit in page.commits:
        encoded = encode_commit(commit)
        partition = partition_of(commit.stream, partitions)
        if len(encoded) + OVERHEAD > CALL_BYTES:
            stubs.setdefault(partition, []).append(Stub(commit.stream, commit.first, commit.last))
        else:
            pieces.setdefault(partition, []).append(encoded)
    for stub in page.stubs:
        stubs.setdefault(partition_of(stub.stream, partitions), []).append(stub)
    for partition in sorted({*pieces, *stubs}):
        yield partition, pieces.get(partition, []), stubs.get(partition, [])


def _parcels(partition: Partition, pieces: Sequence[bytes], stubs: Sequence[Stub]) -> Iterable[Parcel]:
    """Commits in their order, then the stubs; the first of these share the last parcel of commits."""
    held: list[bytes] = []
    stubbed: list[Stub] = []
    size = OVERHEAD
    weighed: list[bytes | Stub] = [*pieces, *stubs]
    for each in weighed:
        weight = 1 + len(each if isinstance(each, bytes) else ENCODER.encode(each))
        if (held or stubbed) and size + weight > CALL_BYTES:
            yield _parcel(partition, held, stubbed)
            held, stubbed, size = [], [], OVERHEAD
        size += weight
        if isinstance(each, bytes):
            held.append(each)
        else:
            stubbed.append(each)
    if held or stubbed:
        yield _parcel(partition, held, stubbed)


def _parcel(partition: Partition, pieces: Sequence[bytes], stubs: Sequence[Stub]) -> Parcel:
    body = pack_commits(partition, pieces, stubs)
    return Parcel(partition, body, len(body.encode()))


def _calls(parcels: Iterable[Parcel]) -> list[list[Parcel]]:
    calls: list[list[Parcel]] = []
    size = 0
    for parcel in parcels:
        if not calls or len(calls[-1]) == ENTRIES or size + parcel.size > CALL_BYTES:
            calls.append([])
            size = 0
        calls[-1].append(parcel)
        size += parcel.size
    return calls
