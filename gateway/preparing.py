"""From what a caller asks to a command's envelope: stream, identity, fingerprint, size. Pure; ids and time come in."""

from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from events.domain import CommandType, Registry
from events.envelope import Command
from events.ids import CommandId, StreamId, derived_id, fingerprint, is_id
from events.parcel import encode_command
from gateway.identity import Caller
from gateway.problems import Problem, malformed
from gateway.strict_json import convert
from runtime.times import Micros

MAX_ENVELOPE: Final = 200 * 1024
"""What one event may weigh: a larger command could never be appended."""
_CANONICAL: Final = msgspec.json.Encoder(order="sorted")

Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~:-]{1,128}\Z")]
ExpectedVersion = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Posted(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /commands`, and a line of a batch."""

    name: str
    data: dict[str, Any]
    id: Key | None = None
    stream: str | None = None
    expected_version: ExpectedVersion | None = None


class Prepared(NamedTuple):
    """A command ready to travel."""

    command: Command
    body: bytes
    """Its envelope as it stands in a parcel."""
    key_given: bool
    """The id is the caller's own, so it may come again with another payload."""


def as_repeat(prepared: Prepared) -> Prepared:
    """The same command, saying that it came before."""
    command = msgspec.structs.replace(prepared.command, repeat=True)
    return Prepared(command, encode_command(command), key_given=True)


class Preparer:
    """Knows the commands of this process' domains."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def posted(self, posted: Posted, caller: Caller, made: CommandId, at: Micros) -> Prepared:
        """A command by name. `made` is its id unless the caller has one."""
        kind = self._registry.commands.get(posted.name)
        if kind is None:
            raise Problem("unknown_command")
        data = convert(posted.data, kind.schema, "/data")
        caller = caller._replace(
            key=_agree(caller.key, posted.id, "id and Idempotency-Key differ"),
            expected_version=_agree(caller.expected_version, posted.expected_version, "expected_version and If-Match differ"),
        )
        return self.typed(posted.name, data, caller, (made, at), stream=posted.stream)

    def typed(
        self,
        name: str,
        data: Struct,
        caller: Caller,
        made: tuple[CommandId, Micros],
        stream: str | None = None,
    ) -> Prepared:
        """A command whose data is valid. `made` is (its id unless the caller has one, now)."""
        kind = self._registry.commands[name]
        key = caller.key or made[0]
        sent = _CANONICAL.encode(data)
        target, carried = _target(kind, data, derived_id(caller.tenant, caller.actor, key)), sent
        if target.assigned is not None:
            carried = _CANONICAL.encode(target.assigned)
        own = self._registry.stream_of(name, target.id, caller.tenant)
        if stream is not None and stream != own:
            raise Problem("malformed", "stream is not the command's own", pointer="/stream")
        command = Command(
            id=key,
            name=name,
            stream=own,
            data=Raw(carried),
            fingerprint=fingerprint(name, sent),
            accepted_at=made[1],
            actor=caller.actor,
            tenant=caller.tenant,
            expected_version=caller.expected_version,
            correlation_id=caller.correlation_id,
            traceparent=caller.traceparent,
        )
        body = encode_command(command)
        if len(body) > MAX_ENVELOPE:
            raise Problem("too_large", f"a command may weigh at most {MAX_ENVELOPE} bytes with its envelope")
        return Prepared(command, body, caller.key is not None)

    def creates(self, name: str) -> bool:
        """Whether a command brings a new aggregate into being."""
        return self._registry.commands[name].creates

    def stream_type(self, stream: StreamId) -> str | None:
        """None when no domain here has such streams."""
        domain = self._registry.of_stream(stream)
        return domain.type if domain else None


class _Target(NamedTuple):
    id: str
    assigned: Struct | None


def _target(kind: CommandType, data: Struct, derived: str) -> _Target:
    ident = kind.target(data)
    if ident is None:
        if kind.assign is None:
            raise malformed("the command does not say what it is for")
        return _Target(derived, kind.assign(data, derived))
    if not is_id(ident):
        raise malformed("an id must be 1-128 of A-Za-z0-9._~-")
    return _Target(ident, None)


def _agree(one: Any, other: Any, why: str) -> Any:
    if one is not None and other is not None and one != other:
        raise malformed(why)
    return one if one is not None else other
