"""What travels and what is kept: a command on its way to be decided, an event as it was recorded.

Both are wire and storage formats: add fields with defaults, never rename or repurpose one.
"""

import msgspec
from msgspec import Raw, Struct

from events.ids import CommandId, Fingerprint, StreamId, Version
from runtime.times import Micros


class Command(Struct, frozen=True, omit_defaults=True):
    """A command's envelope. Identity: (tenant, actor, id) on its stream."""

    id: CommandId
    name: str
    stream: StreamId
    data: Raw
    """The command's data as validated JSON."""
    fingerprint: Fingerprint
    accepted_at: Micros
    actor: str = "anonymous"
    tenant: str = ""
    expected_version: int | None = None
    correlation_id: str = ""
    """Empty: the command's own id."""
    causation_id: str = ""
    """The event or command that led to this one, when the caller named it."""
    traceparent: str = ""
    redriven: bool = False
    """Came back from the dead-letter queue: decided on the full stream."""
    repeat: bool = False
    """The gateway had seen it before: what it came to may be remembered although the stream does not know it."""


class Recorded(Struct, frozen=True, omit_defaults=True):
    """An event inside its commit. Its version is its place in the stream, so it is not repeated here."""

    name: str
    """Stored name, `comment.created.v1`."""
    data: Raw
    at: Micros
    actor: str
    command_id: CommandId
    fingerprint: Fingerprint
    correlation_id: str = ""
    """Empty: the command's own id."""
    causation_id: str = ""
    traceparent: str = ""

    @property
    def correlation(self) -> str:
        return self.correlation_id or self.command_id


class Settled(Struct, frozen=True, omit_defaults=True):
    """A command that changed nothing since the stream's last commit, remembered by the next one."""

    command_id: CommandId
    actor: str
    fingerprint: Fingerprint
    version: Version
    reason: str = ""
    """Empty: applied without effect; else why it was refused."""
    detail: str = ""
    accepted_at: Micros = Micros(0)
    """May be later than the events it stands with: what is forgotten later is known by it to be old. 0 in older commits."""


class Commit(Struct, frozen=True, omit_defaults=True):
    """The events that one append wrote, as one item of the event store; also its form inside a parcel."""

    stream: StreamId
    first: Version
    last: Version
    previous: Version
    """First version of the commit before this one; 0 when there is none."""
    events: Raw
    """JSON array of Recorded."""
    settled: tuple[Settled, ...] = ()

    def recorded(self) -> list[Recorded]:
        """The events, decoded; raises msgspec.ValidationError or DecodeError when they are not ours."""
        return _RECORDED.decode(self.events)


_RECORDED = msgspec.json.Decoder(list[Recorded])
ENCODER = msgspec.json.Encoder()
