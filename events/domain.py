"""What a domain supplies, and the registry that holds several side by side.

A domain is one aggregate type: its commands, its events under their stored names, and the decider that turns the one into the
other. Everything here is pure; nothing outside a domain's own files knows its names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from events.ids import StreamId, stream_id, stream_parts
from events.shape import state_shape
from runtime.errors import ConfigurationError, Fatal, Rejected
from runtime.times import Micros

EventClass = type[Struct]


class Rejection(Rejected):
    """What a decider raises to refuse: `Rejection("comment_deleted", "a deleted comment takes no more commands")`."""


class UnknownEvent(Fatal):
    """A stored name that no registered domain can read."""


class Context(NamedTuple):
    """What a decision may know beside the command and the state."""

    actor: str
    at: Micros
    """When the events of this decision will have happened."""


@dataclass(frozen=True, slots=True)
class CommandType:
    """One command of a domain.

    `target` names the aggregate from the command's own data; None (only for a creating command) lets the gateway choose an id,
    which `assign` then writes into the command.
    """

    schema: type[Struct]
    target: Callable[[Any], str | None]
    creates: bool = False
    assign: Callable[[Any, str], Any] | None = None


@dataclass(frozen=True, slots=True)
class Decider:
    """An aggregate's pure rules. State is immutable; `decide` returns no events when nothing needs to change."""

    initial: Any
    decide: Callable[[Any, Any, Context], Sequence[Struct]]
    evolve: Callable[[Any, Any, Micros], Any]
    state: Any = None
    """Type of the state, for msgspec to write and read it in snapshots: `Order | None`. None: long streams are read whole."""
    state_version: int = 1
    """Raise it when `evolve` makes another state of the same events: snapshots of before are then not used."""


@dataclass(frozen=True, slots=True)
class Upcast:
    """How an event stored under an old name becomes its successor: `change` gets and returns the data as plain JSON values."""

    to: str
    change: Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Domain:
    """One aggregate type. `HEADRACE_DOMAIN=package.module:DOMAIN` plugs yours in."""

    type: str
    """First part of its stream ids: `comment` in `comment-42`."""
    commands: Mapping[str, CommandType]
    events: Mapping[str, EventClass]
    """Stored name -> event. A storage format: add lines, never rename one."""
    decider: Decider
    upcasts: Mapping[str, Upcast] = field(default_factory=dict)
    """Old stored name -> how to read it today."""
    projections: tuple[object, ...] = ()
    """Instances of `readmodel.projection.Projection`."""


def public_name(stored: str) -> str:
    """`comment.created` for `comment.created.v1`: what callers see."""
    head, dot, tail = stored.rpartition(".")
    return head if dot and tail[:1] == "v" and tail[1:].isdigit() else stored


def _odd_type(kind: str) -> list[str]:
    """A stream's id must read back as its type and id: of `order-item-7` the type is `order`."""
    parts = stream_parts(stream_id(kind, "1"))
    if parts is not None and parts.type == kind:
        return []
    return [f"HEADRACE_DOMAIN: the type {kind!r} is not a lower-case letter followed by at most 63 of a-z, 0-9 and _"]


def _circles(upcasts: Mapping[str, Upcast]) -> list[str]:
    faults = []
    for first in upcasts:
        name, steps = first, 0
        while name in upcasts and steps <= len(upcasts):
            name, steps = upcasts[name].to, steps + 1
        if steps > len(upcasts):
            faults.append(f"HEADRACE_DOMAIN: the upcasts of {first} run in a circle")
    return faults


class Registry:
    """The domains of one process; looks names up and turns events into JSON and back."""

    def __init__(self, domains: Iterable[Domain]) -> None:
        self.domains: Final = tuple(domains)
        self.commands: Final[dict[str, CommandType]] = {}
        self._by_type: Final[dict[str, Domain]] = {}
        self._domain_of: Final[dict[str, Domain]] = {}
        self._readers: Final[dict[str, msgspec.json.Decoder[Any]]] = {}
        self._upcasts: Final[dict[str, Upcast]] = {}
        self._stored: Final[dict[type[Struct], str]] = {}
        self._shapes: Final[dict[str, str]] = {}
        faults = [fault for domain in self.domains for fault in self._add(domain)]
        if faults:
            raise ConfigurationError(faults)

    def _add(self, domain: Domain) -> list[str]:
        faults = [
            f"HEADRACE_DOMAIN: the name {name} is taken twice"
            for name in (*domain.commands, *domain.events, *domain.upcasts, domain.type)
            if name in self.commands or name in self._readers or name in self._upcasts or name in self._by_type
        ]
        faults += [
            f"HEADRACE_DOMAIN: {old} is upcast to {up.to}, which is not stored"
            for old, up in domain.upcasts.items()
            if up.to not in domain.events and up.to not in domain.upcasts
        ]
        faults += _odd_type(domain.type) + _circles(domain.upcasts)
        try:
            decider = domain.decider
            self._shapes[domain.type] = state_shape(decider.state, decider.state_version, (*domain.events, *domain.upcasts))
        except ConfigurationError as wrong:
            faults += wrong.faults
        self._by_type[domain.type] = domain
        self.commands.update(domain.commands)
        self._domain_of.update(dict.fromkeys(domain.commands, domain))
        self._upcasts.update(domain.upcasts)
        for stored, kind in domain.events.items():
            self._readers[stored] = msgspec.json.Decoder(kind)
            self._stored[kind] = stored
        return faults

    def of_command(self, name: str) -> Domain:
        return self._domain_of[name]

    def of_stream(self, stream: str) -> Domain | None:
        """The domain whose aggregate this stream is; None when no registered domain has that type."""
        parts = stream_parts(stream)
        return self._by_type.get(parts.type) if parts else None

    def shape_of(self, stream: str) -> str:
        """What a snapshot of this stream must say of its state; empty when its domain keeps none."""
        parts = stream_parts(stream)
        return self._shapes.get(parts.type, "") if parts else ""

    def stream_of(self, name: str, ident: str, tenant: str = "") -> StreamId:
        return stream_id(self._domain_of[name].type, ident, tenant)

    def write(self, event: Struct) -> tuple[str, Raw]:
        """(stored name, data as JSON)."""
        return self._stored[type(event)], Raw(msgspec.json.encode(event))

    def read(self, stored: str, data: Raw) -> Struct:
        """The event as today's code knows it, upcast as often as needed. Raises UnknownEvent or msgspec.ValidationError."""
        if stored in self._upcasts:
            stored, data = self._upcast(stored, data)
        reader = self._readers.get(stored)
        if reader is None:
            raise UnknownEvent(f"no domain reads {stored}")
        event: Struct = reader.decode(data)
        return event

    def current(self, stored: str, data: Raw) -> tuple[str, Raw]:
        """Stored name and data in their newest form."""
        return self._upcast(stored, data) if stored in self._upcasts else (stored, data)

    def _upcast(self, stored: str, data: Raw) -> tuple[str, Raw]:
        plain = msgspec.json.decode(data)
        while (step := self._upcasts.get(stored)) is not None:
            stored, plain = step.to, step.change(plain)
        return stored, Raw(msgspec.json.encode(plain))
