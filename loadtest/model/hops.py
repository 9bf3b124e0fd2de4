"""Calls, bytes and processes of each hop at a rate. Pure; the pacing is the roles' own.

Arrivals are even over gateways and partitions and independent of one another. A process does at most `UTILISATION` of a core.
"""

from math import ceil
from typing import Final, NamedTuple

from msgspec import Struct

from events.dynamo_store import CALLS_AT_ONCE as APPENDS_AT_ONCE
from gateway.parcelling import PARCELS_A_CALL, STANDARD, Pace, lingering
from headrace.costs.billing import bill
from headrace.costs.prices import Prices
from headrace.costs.usage import Usage
from loadtest.model.facts import Measured
from workers.pacing import FULL, LONG_SECONDS, resting
from workers.packing import CALL_BYTES, GROUPS

UTILISATION: Final = 0.6
MESSAGES: Final = 10
"""SQS gives and takes a call."""
STATEMENTS: Final = 25
"""Of one PartiQL batch."""
PARTITION_UNITS: Final = 1000.0
READERS: Final = 2
"""Of every shard: the relay and the reconciler."""
CALL_SECONDS: Final = 0.03
"""Of an SQS call and of a read of the stream, on AWS: a round number, for what cannot be measured here."""
CHUNK: Final = 64 * 1024
APPENDS: Final = APPENDS_AT_ONCE * STATEMENTS / CALL_SECONDS
"""Commits a second of one command worker, whose appends wait for AWS, some at once."""
PAGE_CALLS: Final = 2
"""A page is read, then published."""


class Setting(Struct, frozen=True):
    """What a stack is told."""

    partitions: int
    linger: Pace = STANDARD
    gather: float = LONG_SECONDS


class Hops(Struct, frozen=True):
    """At one rate. Calls, messages and bytes a second."""

    rate: float
    partitions: int
    processes: dict[str, int]
    shards: int
    sends: float
    parcels: float
    commands_a_parcel: float
    receives: float
    appends: float
    reads: float
    publishes: float
    messages: float
    published_bytes: float
    commits_a_message: float
    projector_receives: float
    """Of one projector's queue."""
    dollars_a_million: float
    dollars_an_hour: float
    """Of what AWS bills by use: no processes, no PostgreSQL, no Redis."""


def hops(rate: float, setting: Setting, measured: Measured, prices: Prices) -> Hops:
    """Everything at `rate` commands a second, creations of 200 characters."""
    gateways, sends, parcels = _gateways(rate, setting, measured)
    units = ceil(measured.bytes.item / 1024)
    shards = max(1, ceil(rate * units / PARTITION_UNITS))
    reads, publishes, messages = (each * shards for each in _relayed(rate / shards, setting.gather, measured.bytes.commit))
    receives, projected = parcels / MESSAGES, max(messages / MESSAGES, publishes / 2)
    calls = {"commands": receives, "relay": reads, "projector-rds": projected, "projector-cache": projected}
    processes = {role: _processes(measured.roles[role].ms(count, rate)) for role, count in calls.items()}
    processes["commands"] = max(processes["commands"], ceil(rate / APPENDS))
    flow = Flow(rate, sends, receives, reads * READERS, publishes, messages, projected)
    total = _dollars(flow, units, measured, prices)
    return Hops(
        rate=rate,
        partitions=setting.partitions,
        processes={"gateway": gateways, **processes},
        shards=shards,
        sends=sends,
        parcels=parcels,
        commands_a_parcel=rate / parcels,
        receives=receives,
        appends=rate / STATEMENTS,
        reads=reads * READERS,
        publishes=publishes,
        messages=messages,
        published_bytes=rate * measured.bytes.commit,
        commits_a_message=rate / messages,
        projector_receives=projected,
        dollars_a_million=total,
        dollars_an_hour=total * rate * 3600 / 1e6,
    )


class Flow(NamedTuple):
    """What is billed by the call, a second. `projected`: receives of one projector's queue."""

    rate: float
    sends: float
    receives: float
    reads: float
    publishes: float
    messages: float
    projected: float


def _gateways(rate: float, setting: Setting, measured: Measured) -> tuple[int, float, float]:
    """(processes, calls, parcels): more gateways share the rate, and each fills parcels of its own."""
    gateways = 1
    while True:
        sends, parcels = _sent(rate / gateways, setting)
        if measured.roles["gateway"].ms(sends, rate / gateways) <= 1000 * UTILISATION or gateways > rate:
            return gateways, sends * gateways, parcels * gateways
        gateways += 1


def _dollars(flow: Flow, units: int, measured: Measured, prices: Prices) -> float:
    """Per million commands."""
    commands, commits = flow.rate * measured.bytes.envelope / CHUNK, flow.rate * measured.bytes.commit / CHUNK
    usage = Usage(
        chunks={
            "sqs.SendMessageBatch": round(max(flow.sends, commands) * 1e6),
            "sqs.ReceiveMessage": round((max(flow.receives, commands) + 2 * max(flow.projected, commits)) * 1e6),
            "sqs.DeleteMessageBatch": round((flow.receives + 2 * flow.projected) * 1e6),
            "sns.PublishBatch": round(max(flow.publishes, commits) * 1e6),
        },
        sns_bytes=round(flow.rate * measured.bytes.commit * 1e6),
        sns_delivered_bytes=round(2 * flow.rate * measured.bytes.commit * 1e6),
        sns_deliveries=round(2 * flow.messages * 1e6),
        stream_reads=round(flow.reads * 1e6),
        commit_units=flow.rate * units * 1e6,
    )
    return bill(usage, prices, round(flow.rate * 1e6)).per_million.total or 0.0


def _processes(ms_a_second: float) -> int:
    return max(1, ceil(ms_a_second / (1000 * UTILISATION)))


def _sent(rate: float, setting: Setting) -> tuple[float, float]:
    """(calls, parcels) a second of one gateway: it sends when the oldest waited as long as so many are worth, and the last call is back."""
    linger = 0.0
    for _ in range(50):  # what gathers decides how long it gathers
        linger = lingering(round(rate * linger) + 1, setting.linger)
    every = max(linger, CALL_SECONDS, 1 / rate)
    gathered = rate * every
    hit = setting.partitions * (1 - (1 - 1 / setting.partitions) ** gathered) if setting.partitions > 1 else min(1.0, gathered)
    hit = max(hit, min(1.0, gathered))
    return ceil(hit / PARCELS_A_CALL) / every if hit >= 1 else hit / every, hit / every


def _relayed(rate: float, gather: float, commit: int) -> tuple[float, float, float]:
    """(reads, publish calls, messages) a second of one shard's relay."""
    took = PAGE_CALLS * CALL_SECONDS
    every = took
    for _ in range(50):
        every = took + resting(min(FULL - 1, round(rate * every)), took, gather)  # what fills a page sooner is bounded below
    page = min(rate * every, FULL)
    every = max(every, 1 / rate) if page < 1 else page / rate
    page = max(1.0, page)
    groups = GROUPS * (1 - (1 - 1 / GROUPS) ** page)
    return 1 / every, max(1.0, ceil(page * commit / CALL_BYTES)) / every, groups / every
