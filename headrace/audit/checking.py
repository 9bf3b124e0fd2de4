"""One audit: the whole store, folded and compared; what differs is looked at again until it settles or the time is up."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final, NamedTuple

from events.domain import Registry
from events.dynamo_store import open_store
from events.envelope import Commit
from events.ids import StreamId
from events.store import EventStore
from headrace.audit.findings import CHECKED, Difference, Findings
from headrace.audit.streams import check_stream
from headrace.audit.views import Held, Parks, Views, open_views
from readmodel.control import AMQP
from readmodel.domains import registry
from runtime.aws import Aws, aws_errors, open_aws
from runtime.settings import Settings
from runtime.stack import Stack, load_stack
from runtime.times import Micros

_FIRST_PAUSE: Final = 0.5
Stored = dict[StreamId, list[Commit]]


class Against(NamedTuple):
    """What the store is held against. `since`: from when on everything stored must be published, too; None: nothing must."""

    domains: Registry
    views: Views
    since: Micros | None


async def audit(settings: Settings, settle: float) -> Findings:
    """Read only. What is under way gets `settle` seconds to arrive."""
    domains = registry(settings)
    async with open_aws(settings) as aws, open_views(settings, domains) as views:
        facts = await load_stack(await aws.dynamodb(), settings)
        store = await open_store(aws, facts, settings)
        return await _audit(store, Against(domains, views, await publishing_since(aws, facts)), settle)


async def _audit(store: EventStore, against: Against, settle: float) -> Findings:
    until, pause = monotonic() + settle, _FIRST_PAUSE
    streams = await _stored(store)
    parked = await against.views.parked()
    held = await _check(streams, against, parked)
    while (held.pending or held.differences) and monotonic() < until:
        await asyncio.sleep(min(pause, max(0.0, until - monotonic())))
        pause *= 2
        streams = await _stored(store)
        parked = await against.views.parked()
        held = await _check(streams, against, parked)
    late = [Difference("I4", stream, "stored, but not yet passed by every projector") for stream in held.pending]
    differences = sorted(held.differences + late, key=lambda each: (each.invariant, each.stream, each.detail))
    return Findings(
        ok=not differences,
        checked=CHECKED,
        streams=len(streams),
        events=sum(commits[-1].last for commits in streams.values()),
        pending=len(held.pending),
        parked=len(parked.read_model | parked.amqp),
        discarded=0,
        differences=differences,
    )


async def _stored(store: EventStore) -> Stored:
    """Every commit by stream, in order."""
    streams: Stored = {}
    async for page in store.scan():
        for commit in page:
            streams.setdefault(commit.stream, []).append(commit)
    for commits in streams.values():
        commits.sort(key=lambda each: each.first)
    return streams


async def _check(streams: Stored, against: Against, parked: Parks) -> Held:
    """A stream that is broken in the store itself is not held against the views as well."""
    broken = [each for stream, commits in streams.items() for each in check_stream(stream, commits)]
    names = {each.stream for each in broken}
    sound = {s: commits for s, commits in streams.items() if s not in names and against.domains.of_stream(s) is not None}
    held = await against.views.check(sound, parked.read_model)
    if against.since is not None:
        await against.views.published(_newer(sound, against.since), parked.amqp, held)
    held.differences = broken + [each for each in held.differences if each.stream not in names]
    return held


async def publishing_since(aws: Aws, facts: Stack) -> Micros | None:
    """When the queue of the projector `amqp` was made: older streams are published when they are next written to."""
    if AMQP not in facts.queues:
        return None
    sqs = await aws.sqs()
    with aws_errors():
        answer = await sqs.get_queue_attributes(QueueUrl=facts.queues[AMQP], AttributeNames=["CreatedTimestamp"])
    return Micros((int(answer["Attributes"]["CreatedTimestamp"]) + 1) * 1_000_000)


def _newer(streams: Mapping[StreamId, Sequence[Commit]], since: Micros) -> dict[StreamId, Sequence[Commit]]:
    return {stream: commits for stream, commits in streams.items() if commits[-1].recorded()[-1].at >= since}
