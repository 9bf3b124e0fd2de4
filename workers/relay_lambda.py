"""The relay as a Lambda function: an event source mapping reads the stream in place of our fleet. docs/relay-lambda.md.

`workers.relay_lambda.handler` is what Lambda calls. What stands in the environment is as for any role; the first call of a process opens
what it needs, later calls find it open.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol

from runtime import logs
from runtime.aws import AwsRefused, open_aws
from runtime.errors import ConfigurationError, Fatal
from runtime.lifecycle import backoff
from runtime.metrics import DISCARDS
from runtime.settings import Settings, load
from runtime.stack import load_stack, table_name
from workers.packing import Parcel, carried, plan, read_page, sequence
from workers.publishing import Topic

TRIES: Final = 4
"""Of one publish call within one invocation; Lambda then comes again with what is left."""
SPARE_SECONDS: Final = 2.0
"""Kept of an invocation's time for answering."""
_LOG: Final = logs.get("relay")
Record = Mapping[str, Any]


class Context(Protocol):
    """What we use of Lambda's."""

    def get_remaining_time_in_millis(self) -> int:
        """Until the invocation is cut off."""
        ...


class ForeignEvent(Fatal):
    """Not an event of this stack's stream: the mapping is wrong, and nothing of it is published."""


class RelayFunction:
    """Publishes one batch of records; all of a process's batches come one after the other."""

    def __init__(self, topic: Topic, events_table: str) -> None:
        self._topic, self._table = topic, events_table

    async def handle(self, event: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Lambda's partial batch response: none, or the first record that is to come again with all after it. Raises ForeignEvent."""
        records = _records(event, self._table)
        page = read_page(records)
        if page.foreign:
            DISCARDS.labels("relay", "foreign").inc(page.foreign)
            _LOG.error("records that are not appends", action="tamper", records=page.foreign)
        left = await self._publish(plan(page), asyncio.get_running_loop().time() + seconds)
        again = _first_of(records, left)
        _LOG.info("batch relayed", action="relay_page", records=len(records), commits=len(page.commits), stubs=len(page.stubs), again=again)
        return {"batchItemFailures": [{"itemIdentifier": again}] if again else []}

    async def _publish(self, rounds: list[list[list[Parcel]]], until: float) -> list[Parcel]:
        """What SNS did not take, and what was not begun for it: of a partition nothing later leaves before it."""
        for number, calls in enumerate(rounds):
            unsent = await asyncio.gather(*(self._send(parcels, until) for parcels in calls))
            left = [parcel for parcels in unsent for parcel in parcels]
            if left:
                return left + [parcel for later in rounds[number + 1 :] for call in later for parcel in call]
        return []

    async def _send(self, parcels: list[Parcel], until: float) -> list[Parcel]:
        clock = asyncio.get_running_loop().time
        for attempt in range(1, TRIES + 1):
            seconds = until - clock()
            if not parcels or seconds <= 0:
                break
            try:
                parcels = await self._topic.send(parcels, seconds)
            except AwsRefused as wrong:  # the batch comes again until this is put right, or the stream forgets it
                _LOG.error("publish refused", action="publish", error=str(wrong), parcels=len(parcels))
                break
            if parcels and attempt < TRIES:
                await asyncio.sleep(min(backoff(attempt, 0.5), max(0.0, until - clock())))
        return parcels


def _records(event: Mapping[str, Any], table: str) -> Sequence[Record]:
    records = event.get("Records")
    if not isinstance(records, list) or not all(isinstance(each, dict) and isinstance(each.get("dynamodb"), dict) for each in records):
        raise ForeignEvent("not an event of a DynamoDB stream")
    for each in records:
        if f":table/{table}/stream/" not in str(each.get("eventSourceARN", "")):
            raise ForeignEvent(f"records of {each.get('eventSourceARN')}, not of the table {table}")
    return records


def _first_of(records: Sequence[Record], left: Sequence[Parcel]) -> str:
    """Sequence number of the first record whose commit is in one of these; "" when there is none."""
    keys = {(str(stream), int(first)) for parcel in left for stream, first in carried(parcel)}
    return next((sequence(record) for record in records if _key(record) in keys), "") if keys else ""


def _key(record: Record) -> tuple[str, int] | None:
    image = record["dynamodb"].get("NewImage", {})
    try:
        return image["stream_id"]["S"], int(image["first_version"]["N"])
    except (KeyError, TypeError, ValueError):
        return None


class _Process:
    """What one Lambda process keeps between invocations: its loop, its clients."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self._function: RelayFunction | None = None

    def call(self, event: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        return self._runner.run(self._call(event, seconds))

    async def _call(self, event: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        if self._function is None:
            async with AsyncExitStack() as stack:
                self._function = await _composed(load(), stack)
                self._open = stack.pop_all()
        return await self._function.handle(event, seconds)

    def close(self) -> None:
        """For tests; Lambda freezes and drops a process."""
        self._runner.run(self._open.aclose())
        self._runner.close()


async def _composed(settings: Settings, stack: AsyncExitStack) -> RelayFunction:
    logs.configure(settings.log, "relay-lambda")
    if settings.relay != "lambda":
        raise ConfigurationError(["HEADRACE_RELAY: not `lambda`; the relay processes would publish the same records"])
    aws = await stack.enter_async_context(open_aws(settings))
    facts = await load_stack(await aws.dynamodb(), settings)
    return RelayFunction(Topic(await aws.sns(), facts.topic_arn), table_name(settings, "events"))


_PROCESS: list[_Process] = []


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Lambda's entry. Raises what makes Lambda try the whole batch again: HeadraceError of any kind."""
    if not _PROCESS:
        _PROCESS.append(_Process())
    return _PROCESS[0].call(event, context.get_remaining_time_in_millis() / 1000 - SPARE_SECONDS)
