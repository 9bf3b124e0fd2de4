"""Commits to the exchange: judged like every projector's, sent in version order, and only then does their position move.

All that `readmodel.projecting` knows is used: verdicts under advisory locks, holes filled from the store outside them, parks. What is added
is one effect inside the transaction: the events of the commits to apply are sent and confirmed before the positions are written. The
transaction is open meanwhile, and that is wanted: its locks keep a second projector, or a second delivery, from sending the same stream
side by side. It holds no row and has written nothing yet; `CONFIRM_SECONDS` bounds it. Dying in between costs sending again.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from events.domain import Registry
from events.ids import Version
from events.store import EventStore
from readmodel.control import AMQP, BESIDE, PUBLISHED
from readmodel.database import Database
from readmodel.planning import Plan, Unit
from readmodel.projecting import Duty, Projecting
from readmodel.projection import Changes, Happened, Projection, Row
from runtime import logs
from runtime.metrics import DISCARDS
from runtime.times import rfc3339
from workers.amqp.exchange import Exchange
from workers.amqp.messages import EventMessage, event_message

MOST_EVENTS: Final = 500
"""Sent in one transaction."""
_LOG: Final = logs.get("amqp")


def _sent(row: Row | None, happened: Happened) -> Changes:  # noqa: ARG001 - a projection's shape
    if happened.at < 0:
        raise ValueError("a time before 1970, which AMQP cannot say")
    rfc3339(happened.at)  # raises for a time that no calendar has
    return Changes(row={})


PROJECTION: Final = Projection(AMQP, (PUBLISHED,), _sent, home=PUBLISHED)
"""Nothing but a position a stream. An event that cannot be read parks its stream here as in every projection."""


def publishing(database: Database, registry: Registry, store: EventStore, exchange: Exchange) -> Projecting:
    """Its `project` raises AmqpAway, with nothing moved, while the broker does not confirm. `database`: of any generation."""

    async def publish(work: Sequence[tuple[Unit, Plan]]) -> None:
        returned = await exchange.publish([message for unit, judged in work for message in _messages(registry, unit, judged)])
        if returned:
            _count_unroutable(returned)

    return Projecting(Database(database.engine, BESIDE), registry, store, Duty(PROJECTION, publish, MOST_EVENTS))


def _messages(registry: Registry, unit: Unit, judged: Plan) -> list[EventMessage]:
    return [
        event_message(registry, unit.stream, Version(version), recorded)
        for arrived in judged.apply
        for version, recorded in enumerate(arrived.recorded(), arrived.commit.first)
    ]


def _count_unroutable(returned: Counter[str]) -> None:
    """Nobody asked for them, and the event store has them: they are passed."""
    DISCARDS.labels(AMQP, "unroutable").inc(returned.total())
    _LOG.warning("events that no queue is bound for", action="publish", events=returned.total(), keys=dict(returned))
