"""What can be seen of a stack from outside its processes: how much waits where, and for how long."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
import msgspec

from readmodel.control import CONTROL_SCHEMA
from readmodel.database import database_errors, open_engine
from readmodel.feeding import Fed, all_fed
from readmodel.parking import count_parked
from runtime.aws import AwsRefused, AwsUnavailable, aws_errors, open_aws
from runtime.errors import HeadraceError
from runtime.settings import Settings, load
from runtime.stack import Stack, read_stack

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

QUEUES: Final = ("commands", "rds", "cache", "amqp")
"""The last is there only where somebody wanted it."""
PROJECTORS: Final = ("rds", "cache", "amqp")
_GAUGE: Final = re.compile(
    r"^headrace_(appended_at|burst_at|before_burst_at|passed_at|messages|envelopes|state_cache)_(?:seconds|total)(\S*) ([0-9.e+]+)$", re.M
)
_SECONDS: Final = 8.0
Listener = tuple[str, str]
"""A role and the URL at which one of its processes has its `/metrics`."""


class Observed(msgspec.Struct, frozen=True):
    """`queues`: depth by name, visible and in flight, dead-letter queues as `NAME-dead`. A queue that did not answer is
    left out. `lag_seconds`: by projector, the age of the oldest stored commit it lacks. `parked`, `discarded`: streams. `append`: the call
    that provision settled, empty when the stack's facts cannot be read. `cache_hits`: share of the command worker's look-ups of a
    stream's state that needed no read, None before the first. `changing_to`: partitions, while `provision` changes their number.
    `generations`: by projector that has some, the one that queries read, then those that are fed beside it."""

    queues: dict[str, int]
    lag_seconds: dict[str, float]
    parked: int
    append: str = ""
    partitions: int = 0
    cache_hits: float | None = None
    changing_to: int | None = None
    discarded: int = 0
    generations: dict[str, list[int]] = msgspec.field(default_factory=dict)


class Told(NamedTuple):
    """What the control tables tell."""

    parked: int = 0
    discarded: int = 0
    generations: Mapping[str, Fed] = MappingProxyType({})


async def observe(environment: Mapping[str, str], listeners: Sequence[Listener] = ()) -> Observed:
    """Look at the stack that these settings name.

    What cannot be reached is left out: this is for looking at faults.
    """
    settings = load(environment)
    messages, seen, told, facts = await asyncio.gather(
        queue_depths(settings), gauges(listeners), told_by_postgres(settings), _facts(settings)
    )
    return Observed(
        queues={name: depth(name, count, seen) for name, count in messages.items()},
        lag_seconds=lags(time.time(), seen),
        parked=told.parked,
        append=facts.append if facts else "",
        partitions=facts.partitions if facts else 0,
        cache_hits=cache_hits(seen.get("commands", {})),
        changing_to=facts.changing.to if facts and facts.changing is not msgspec.UNSET else None,
        discarded=told.discarded,
        generations={name: [fed.current, *fed.beside] for name, fed in sorted(told.generations.items())},
    )


def cache_hits(worker: Mapping[str, float]) -> float | None:
    """Of the look-ups since the worker began. Pure."""
    hits, misses = (worker.get(f'state_cache{{result="{result}"}}', 0.0) for result in ("hit", "miss"))
    return round(hits / (hits + misses), 4) if hits + misses else None


def depth(queue: str, messages: int, seen: Mapping[str, Mapping[str, float]]) -> int:
    """About how many commands (or commits) wait in so many messages: by how many its reader has found in one so far. Pure.

    SQS counts messages only. What was dead-lettered singly is one a message.
    """
    for gauges in seen.values():
        taken = gauges.get(f'messages{{queue="{queue}"}}', 0.0)
        if taken:
            return round(messages * max(1.0, gauges.get(f'envelopes{{queue="{queue}"}}', 0.0) / taken))
    return messages


def lags(now: float, seen: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """By projector, the age of the oldest stored commit it lacks, from the roles' gauges. Pure; never less than it is by more
    than the second that separates two bursts. A projector or worker that does not answer has no lag that anyone could know."""
    worker = seen.get("commands")
    if worker is None:
        return {}
    found = {}
    for name in PROJECTORS:
        gauges = seen.get(f"projector-{name}")
        if gauges is None:
            continue
        passed, appended = gauges.get("passed_at", 0.0), worker.get("appended_at", 0.0)
        caught_up = worker.get("before_burst_at", 0.0) <= passed
        oldest = max(passed, worker.get("burst_at", 0.0)) if caught_up else passed
        found[name] = 0.0 if passed >= appended else round(max(0.0, now - (oldest or worker.get("burst_at", now))), 3)
    return found


async def gauges(listeners: Sequence[Listener], seconds: float = 2.0) -> dict[str, dict[str, float]]:
    """What `lags` and `depth` need, by role, of the processes that answer within so long."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        found = await asyncio.gather(*(_gauges_of(http, url) for _, url in listeners))
    roles: dict[str, dict[str, float]] = {}
    for (role, _), told in zip(listeners, found, strict=True):
        if told is not None:
            roles[role] = together(roles.get(role, {}), told)
    return roles


def together(some: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    """What two processes of a role tell, as of one: the later of times, the sum of counts. Pure."""
    return {
        name: max(some.get(name, 0.0), more.get(name, 0.0)) if name.endswith("_at") else some.get(name, 0.0) + more.get(name, 0.0)
        for name in {**some, **more}
    }


async def _gauges_of(http: aiohttp.ClientSession, url: str) -> dict[str, float] | None:
    try:
        async with http.get(f"{url}/metrics") as answer:
            return {name + labels: float(value) for name, labels, value in _GAUGE.findall(await answer.text())}
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def _facts(settings: Settings) -> Stack | None:
    """What provision wrote down; None where it cannot be read."""
    try:
        async with asyncio.timeout(_SECONDS), open_aws(settings) as aws:
            return await read_stack(await aws.dynamodb(), settings)
    except (HeadraceError, TimeoutError):
        return None


async def told_by_postgres(settings: Settings) -> Told:
    """Nothing where the database does not answer, whose part the status then shows as not ready."""
    if not settings.database_url:
        return Told()
    engine = open_engine(settings, CONTROL_SCHEMA)
    try:
        async with asyncio.timeout(_SECONDS):
            with database_errors():
                async with engine.connect() as connection:
                    generations = await all_fed(connection)
            return Told(await count_parked(engine), await count_parked(engine, discarded=True), generations)
    except (HeadraceError, TimeoutError):
        return Told()
    finally:
        await engine.dispose()


async def queue_depths(settings: Settings) -> dict[str, int]:
    """Messages in every queue, visible and in flight."""
    names = [name for queue in QUEUES for name in (queue, f"{queue}-dead")]
    try:
        async with asyncio.timeout(_SECONDS), open_aws(settings) as aws:
            sqs = await aws.sqs()
            depths = await asyncio.gather(*(_depth(sqs, f"{settings.stack}-{name}.fifo") for name in names))
    except TimeoutError:
        return {}
    return {name: depth for name, depth in zip(names, depths, strict=True) if depth is not None}


async def _depth(sqs: "SQSClient", queue: str) -> int | None:
    try:
        with aws_errors():
            url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
            answer = await sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            )
    except (AwsRefused, AwsUnavailable):
        return None
    return sum(int(value) for value in answer["Attributes"].values())
