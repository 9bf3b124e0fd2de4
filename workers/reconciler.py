"""The reconciler, put together: it runs beside the relay, in its process, and needs PostgreSQL, for which it waits where it is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from events.dynamo_store import open_store
from readmodel.control import AMQP
from readmodel.domains import registry
from readmodel.reconciling import open_standings
from runtime.aws import Aws
from runtime.settings import Settings
from runtime.stack import Stack, table_name
from workers import trailing, walking
from workers.lease import Leases
from workers.pacing import Pace
from workers.relay_fleet import Fleet
from workers.republishing import Republisher
from workers.sighting import Queues, Relayed, RelayedElsewhere, StoredKeys, publishing_since
from workers.stream import EventStream
from workers.trailing import PROJECTORS, Trailing
from workers.walker import Drained, Walker
from workers.walking import Patience, Walk
from workers.walks import Walks

TRAIL: Final = "trail#"
LONGER: Final = 3
"""Times the relay's lease: nobody waits for the trail, and a longer lease is renewed more rarely."""
_PATIENCE: Final = Patience(drain=600.0, settle=60.0, look=5.0)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Its parts, all of which run until `stop`."""

    trail: Fleet
    trailing: Trailing
    walker: Walker

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for part in (self.trail, self.trailing, self.walker):
                tasks.create_task(part.run(stop))


@asynccontextmanager
async def open_reconciler(settings: Settings, aws: Aws, facts: Stack, stream: EventStream, relay: Leases) -> AsyncIterator[Reconciler]:
    """`relay`: the leases of the relay that is looked after."""
    dynamodb, sqs = await aws.dynamodb(), await aws.sqs()
    events, control = table_name(settings, "events"), table_name(settings, "control")
    since = await publishing_since(sqs, facts)
    projectors = (*PROJECTORS, AMQP) if since is not None else PROJECTORS
    queues, republisher = Queues(sqs, facts.queues), Republisher(await aws.sns(), facts.topic_arn)
    walks, store = Walks(dynamodb, control), await open_store(aws, facts, settings)
    leases = Leases(dynamodb, control, relay.owner, LONGER * relay.seconds, TRAIL)
    async with open_standings(settings, registry(settings), amqp=since is not None) as standings:
        sight = walking.Sight(StoredKeys(dynamodb, events), store, standings, queues, since)
        relayed = Relayed(relay, TRAIL) if settings.relay == "fleet" else RelayedElsewhere()
        trail = Trailing(trailing.Sight(standings, relayed, queues, since), republisher)
        walker = Walker(walks, leases, lambda: Walk(sight, republisher, projectors, _PATIENCE), Drained(queues, projectors))
        yield Reconciler(Fleet(stream, leases, trail, Pace, walks), trail, walker)
