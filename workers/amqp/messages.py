"""An event as the message others receive. Pure, and a wire format: add fields, never rename or repurpose one."""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw, Struct

from events.domain import Registry, public_name
from events.envelope import Recorded
from events.ids import StreamId, Version, stream_parts
from readmodel.timetravel import public_event
from runtime.errors import ConfigurationError
from runtime.times import Micros

SHORT: Final = 255
"""Bytes of a routing key, and of every text among a message's properties: AMQP counts them in one byte."""


class EventBody(Struct, frozen=True, omit_defaults=True):
    """The message's body: an event as `GET /comments/{id}/history` shows it, and whose it is."""

    stream: StreamId
    version: int
    name: str
    data: Raw
    at: str
    actor: str
    command_id: str
    tenant: str = ""


class EventMessage(Struct, frozen=True):
    """One message. `id` is the same however often it is sent: `stream@version`, or a hash of it where that is too long for AMQP."""

    routing_key: str
    """The event's public name, `comment.created`."""
    id: str
    body: bytes
    at: Micros
    correlation_id: str
    traceparent: str = ""


def event_message(registry: Registry, stream: StreamId, version: Version, recorded: Recorded) -> EventMessage:
    """What is sent for the event that is `version` of its stream."""
    public = public_event(registry, version, recorded)
    parts = stream_parts(stream)
    body = EventBody(stream, version, public.name, public.data, public.at, public.actor, public.command_id, parts.tenant if parts else "")
    return EventMessage(
        routing_key=public.name,
        id=_short(f"{stream}@{version}"),
        body=msgspec.json.encode(body),
        at=recorded.at,
        correlation_id=_short(recorded.correlation),
        traceparent=recorded.traceparent,
    )


def check_names(registry: Registry) -> None:
    """Raises ConfigurationError for events whose names are too long for a routing key: they could be stored and never sent."""
    names = {public_name(stored) for domain in registry.domains for stored in domain.events}
    faults = [f"HEADRACE_AMQP_URL: the event {name[:40]}... has a name of more than {SHORT} bytes" for name in sorted(names) if _long(name)]
    if faults:
        raise ConfigurationError(faults)


def _short(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest() if _long(text) else text


def _long(text: str) -> bool:
    return len(text.encode()) > SHORT
