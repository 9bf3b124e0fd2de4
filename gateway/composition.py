"""Wires one gateway together on given ports, and holds the routing table. `opening` finds the real ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from events.domain import Registry
from events.store import EventStore
from gateway.amqp.ingress import Ingress
from gateway.amqp.line import Broker
from gateway.amqp.session import Ways
from gateway.app import App
from gateway.batch import BatchRoute
from gateway.combiner import Combiner
from gateway.command_queue import CommandQueue
from gateway.commands import CommandRoutes, Projected, StatusRoute
from gateway.comments.commands import LOCATIONS, CommentCommands
from gateway.comments.queries import CommentQueries, Reads
from gateway.describing import DescriptionRoutes
from gateway.feed.route import Feed, FeedRoute
from gateway.following import Follower
from gateway.health import HealthRoutes
from gateway.lookup import Lookup
from gateway.memory import Memory
from gateway.outcomes import Notices, Outcomes
from gateway.parcelling import STANDARD, Pace
from gateway.posting import Poster
from gateway.preparing import Preparer
from gateway.routing import Route, prompt
from gateway.sender import Sender
from readmodel.feed_reading import Changes
from readmodel.heads import Heads
from runtime.health import Check
from runtime.lifecycle import ended
from runtime.stack import Facts
from runtime.times import now


@dataclass(frozen=True, slots=True)
class Ports:
    """What a gateway stands on; tests pass fakes."""

    queue: CommandQueue
    store: EventStore
    registry: Registry
    memory: Memory
    notices: Notices
    reads: Reads
    projected: Projected
    checks: dict[str, Check]
    partitions: int
    heads: Heads = field(default_factory=Heads)
    facts: Facts | None = None
    """None: the number of partitions stays what it is."""
    told_partitions: int | None = None
    broker: Broker | None = None
    """Of the second door; None: it is off."""
    changes: tuple[Changes, Notices] | None = None
    """The feed's rows, and who tells of new ones; None: it is off."""
    pace: Pace = STANDARD


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway whose tasks are running."""

    app: App
    sender: Sender
    outcomes: Outcomes
    batch: BatchRoute
    ingress: Ingress | None = None
    feed: Feed | None = None

    def stopping(self) -> None:
        """Nobody is kept waiting for outcomes much longer, no batch goes on coming, feeds end, and no message is taken."""
        self.outcomes.stop()
        self.batch.stop()
        if self.feed is not None:
            self.feed.stop()
        if self.ingress is not None:
            self.ingress.stop()

    async def drained(self) -> None:
        """Until every command taken was confirmed or given up."""
        await self.sender.drained()
        if self.ingress is not None:
            await self.ingress.drained()


@asynccontextmanager
async def running(ports: Ports) -> AsyncIterator[Gateway]:
    """A gateway on these ports; its tasks end when this is left."""
    sender = Sender(ports.queue, ports.partitions, ports.memory.mark, pace=ports.pace)
    claims = Combiner(ports.memory.claim)
    outcomes = Outcomes(ports.notices, ports.heads.note)
    lookup = Lookup(ports.memory, ports.store, ports.registry)
    poster = Poster(sender, claims, outcomes, lookup)
    preparer = Preparer(ports.registry)
    batch = BatchRoute(preparer, poster, now)
    ingress = Ingress(ports.broker, Ways(preparer, poster, now)) if ports.broker is not None else None
    checks = ports.checks if ingress is None else {**ports.checks, "rabbitmq": ingress.check}
    feed = Feed(*ports.changes, ports.registry) if ports.changes is not None else None
    app = App([*routes(ports, poster, preparer, batch, checks), Route("GET", "/events", FeedRoute(feed).get)])
    followers = [] if ports.facts is None else [Follower(ports.facts, sender, ports.told_partitions)]
    for each in followers:
        await each.begin()
    async with asyncio.TaskGroup() as tasks:
        loops = [sender.run, claims.run, outcomes.run, *(each.run for each in followers)]
        if ingress is not None:
            loops.append(ingress.run)
        if feed is not None:
            loops.append(feed.run)
        running = [tasks.create_task(loop()) for loop in loops]
        try:
            yield Gateway(app, sender, outcomes, batch, ingress, feed)
        finally:
            for task in running:
                await ended(task)


def routes(ports: Ports, poster: Poster, preparer: Preparer, batch: BatchRoute, checks: dict[str, Check]) -> list[Route]:
    """Everything that can be asked of a gateway."""
    commands = CommandRoutes(preparer, poster, LOCATIONS, now)
    status = StatusRoute(poster.lookup, poster.outcomes, ports.projected)
    comments = CommentCommands(preparer, commands, now)
    queries = CommentQueries(ports.reads, ports.store, ports.registry)
    health = HealthRoutes(checks)
    described = DescriptionRoutes(ports.registry)
    return [
        prompt("POST", "/pictures/{picture_id}/comments", comments.create),
        prompt("PATCH", "/comments/{comment_id}", comments.update),
        prompt("DELETE", "/comments/{comment_id}", comments.delete),
        prompt("POST", "/commands", commands.post),
        Route("POST", "/commands/batch", batch.post),
        Route("GET", "/commands/{command_id}", status.get),
        Route("GET", "/pictures/{picture_id}/comments", queries.comments),
        Route("GET", "/pictures/{picture_id}", queries.picture),
        Route("GET", "/comments/{comment_id}", queries.comment),
        Route("GET", "/comments/{comment_id}/history", queries.history),
        Route("GET", "/healthz", health.live),
        Route("GET", "/readyz", health.ready),
        Route("GET", "/metrics", health.metrics),
        Route("GET", "/openapi.json", described.openapi),
        Route("GET", "/docs", described.page),
    ]
