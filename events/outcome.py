"""What became of a command, and how it is told: to waiting gateways by a notice, to later askers by a value in Redis."""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from events.ids import CommandId, Fingerprint, StreamId, Version

APPLIED_SECONDS: Final = 60
"""How long the outcome of a command with events is kept in Redis: its stream tells of it for much longer."""
REMEMBERED_SECONDS: Final = 900
"""How long a command is remembered that left no event: its id may be used for a new command afterwards."""
PENDING: Final = b"p"
"""The mark a 202 leaves in place of an outcome."""
PERHAPS_KNOWN: Final = b"k"
"""The same under a caller's own id: its stream may know the command from long ago."""
MARKS: Final = (PENDING, PERHAPS_KNOWN)


class Status(StrEnum):
    PENDING = "pending"
    APPLIED = "applied"
    REJECTED = "rejected"
    FAILED = "failed"


class Outcome(Struct, frozen=True, array_like=True):
    """Final. `version` is the stream's after the command, also when nothing changed. As JSON an array: add fields at the end."""

    status: Status
    version: Version
    reason: str = ""
    detail: str = ""
    no_effect: bool = False
    """Applied, and nothing changed: no event tells of the command."""
    holder: str = ""
    """Of `command_id_reused`: fingerprint of the command that the id belongs to."""

    @property
    def left_events(self) -> bool:
        """The stream itself remembers the command."""
        return self.status is Status.APPLIED and not self.no_effect


class Kept(Outcome, frozen=True, array_like=True):
    """An outcome as it lies in Redis: with the fingerprint of the command it answers."""

    fingerprint: str = ""

    def answers(self, fingerprint: Fingerprint) -> bool:
        """It is the outcome of this very command, not of another one under the same id."""
        return self.fingerprint == fingerprint

    def outcome(self) -> Outcome:
        """Without what only Redis needs."""
        return Outcome(self.status, self.version, self.reason, self.detail, self.no_effect, self.holder)


class Notice(Struct, frozen=True, array_like=True):
    """One command's outcome as workers tell it to gateways; an array on the wire: add fields at the end."""

    stream: StreamId
    actor: str
    command_id: CommandId
    fingerprint: Fingerprint
    outcome: Outcome

    def kept(self) -> Kept:
        """What is left in Redis."""
        it = self.outcome
        return Kept(it.status, it.version, it.reason, it.detail, it.no_effect, it.holder, self.fingerprint)


NOTICES: Final = msgspec.json.Decoder(list[Notice])
KEPT: Final = msgspec.json.Decoder(Kept)


def kept_of(value: bytes | None) -> Kept | None:
    """None for nothing, for a mark, and for what is not ours."""
    if value is None or value in MARKS:
        return None
    try:
        return KEPT.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def kept_seconds(outcome: Outcome) -> int:
    """How long Redis keeps an outcome."""
    return APPLIED_SECONDS if outcome.left_events else REMEMBERED_SECONDS


def command_key(stack: str, stream: str, command_id: str) -> str:
    """Redis hash of a command: one field an actor, holding one of MARKS or a Kept."""
    return f"{stack}:command:{stream}:{command_id}"


def claim_key(stack: str, stream: str, actor: str, command_id: str) -> str:
    """Redis string holding the fingerprint first seen under a caller's own `Idempotency-Key`."""
    return f"{stack}:claim:{stream}:{actor}:{command_id}"


def outcomes_channel(stack: str) -> str:
    """Where workers publish a JSON array of Notice, one message a batch."""
    return f"{stack}:outcomes"


def accepted_channel(stack: str) -> str:
    """Where gateways tell workers that SQS has commands."""
    return f"{stack}:accepted"


def published_channel(stack: str) -> str:
    """Where the relay tells projectors that SNS has commits."""
    return f"{stack}:published"


def appended_channel(stack: str) -> str:
    """Where workers tell the relay that there is something in the stream."""
    return f"{stack}:appended"


def projected_channel(stack: str, projector: str) -> str:
    """Where a projector publishes a JSON array of [stream, version], one message a batch, after it committed."""
    return f"{stack}:projected:{projector}"
