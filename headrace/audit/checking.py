"""One audit: the whole store, folded and compared; what differs is looked at again until it settles or the time is up."""

import asyncio
from time import monotonic
from typing import Final

from events.domain import Registry
from events.dynamo_store import open_store
from events.envelope import Commit
from events.ids import StreamId
from events.store import EventStore
from headrace.audit.findings import CHECKED, Difference, Findings
from headrace.audit.streams import check_stream
from headrace.audit.views import Held, Views, open_views
from readmodel.domains import registry
from runtime.aws import open_aws
from runtime.settings import Settings
from runtime.stack import load_stack

_FIRST_PAUSE: Final = 0.5
Stored = dict[StreamId, list[Commit]]


async def audit(settings: Settings, settle: float) -> Findings:
    """Read only. What is under way gets `settle` seconds to arrive."""
    domains = registry(settings)
    async with open_aws(settings) as aws, open_views(settings, domains) as views:
        store = await open_store(aws, await load_stack(await aws.dynamodb(), settings), settings)
        return await _audit(store, domains, views, settle)


async def _audit(store: EventStore, domains: Registry, views: Views, settle: float) -> Findings:
    until, pause = monotonic() + settle, _FIRST_PAUSE
    streams = await _stored(store)
    parked = await views.parked()
    held = await _check(streams, domains, views, parked)
    while (held.pending or held.differences) and monotonic() < until:
        await asyncio.sleep(min(pause, max(0.0, until - monotonic())))
        pause *= 2
        streams = await _stored(store)
        parked = await views.parked()
        held = await _check(streams, domains, views, parked)
    late = [Difference("I4", stream, "stored, but not yet passed by every projector") for stream in held.pending]
    differences = sorted(held.differences + late, key=lambda each: (each.invariant, each.stream, each.detail))
    return Findings(
        ok=not differences,
        checked=CHECKED,
        streams=len(streams),
        events=sum(commits[-1].last for commits in streams.values()),
        pending=len(held.pending),
        parked=len(parked),
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


async def _check(streams: Stored, domains: Registry, views: Views, parked: set[StreamId]) -> Held:
    """A stream that is broken in the store itself is not held against the views as well."""
    broken = [each for stream, commits in streams.items() for each in check_stream(stream, commits)]
    names = {each.stream for each in broken}
    sound = {s: commits for s, commits in streams.items() if s not in names and domains.of_stream(s) is not None}
    held = await views.check(sound, parked)
    held.differences = broken + [each for each in held.differences if each.stream not in names]
    return held
