"""What became of a command, and how it is told: to waiting gateways by a notice, to later askers by a value in Redis."""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from events.ids import CommandId, Fingerprint, StreamId, Version

APPLIED_SECONDS: Final = 60
REFUSED_SECONDS: Final = 900
PENDING: Final = b"p"
"""The mark a 202 leaves in place of an outcome."""


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


class Notice(Struct, frozen=True, array_like=True):
    """One command's outcome as workers tell it to gateways; an array on the wire: add fields at the end."""

    stream: StreamId
    actor: str
    command_id: CommandId
    fingerprint: Fingerprint
    outcome: Outcome


NOTICES: Final = msgspec.json.Decoder(list[Notice])
OUTCOME: Final = msgspec.json.Decoder(Outcome)


def command_key(stack: str, stream: str, command_id: str) -> str:
    """Redis hash of a command: one field an actor, holding PENDING or an Outcome."""
    return f"{stack}:command:{stream}:{command_id}"


def claim_key(stack: str, stream: str, actor: str, command_id: str) -> str:
    """Redis string holding the fingerprint first seen under a caller's own `Idempotency-Key`."""
    return f"{stack}:claim:{stream}:{actor}:{command_id}"


def outcomes_channel(stack: str) -> str:
    """Where workers publish a JSON array of Notice, one message a batch."""
    return f"{stack}:outcomes"


def appended_channel(stack: str) -> str:
    """Where workers tell the relay that there is something in the stream."""
    return f"{stack}:appended"


def projected_channel(stack: str, projector: str) -> str:
    """Where a projector publishes a JSON array of [stream, version], one message a batch, after it committed."""
    return f"{stack}:projected:{projector}"
