"""What callers get for their commands: receipts, and the problems that carry one."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, structs

from events.envelope import Command
from events.ids import StreamId, stream_parts
from events.outcome import Outcome, Status
from gateway.answers import ENCODER, JSON, Answer, Header
from gateway.identity import ANONYMOUS
from gateway.problems import CODES, DOMAIN_STATUS, Problem

Locations = Mapping[str, str]
"""Stream type -> path its aggregates are found below."""


class Receipt(Struct, frozen=True, omit_defaults=True):
    """The answer to a command."""

    command_id: str
    stream: str
    status: str
    status_url: str
    version: int | None = None
    token: str | None = None
    reason: str = ""
    detail: str = ""


class Refused(Struct, frozen=True, omit_defaults=True):
    """A line of a batch that was never accepted."""

    status: str
    code: str
    line: int
    detail: str = ""
    command_id: str | None = None
    stream: str | None = None
    status_url: str | None = None


def status_url(command_id: str, stream: StreamId, actor: str) -> str:
    """Where the command's status is asked for; as a path of this API."""
    # Of what ids and stream ids may hold, only these two characters must be escaped.
    url = f"/commands/{command_id.replace(':', '%3A')}?stream={stream.replace('/', '%2F')}"
    return url if actor == ANONYMOUS else f"{url}&actor={actor}"


def receipt(command: Command, outcome: Outcome | None) -> Receipt:
    """`outcome` None is pending."""
    url = status_url(command.id, command.stream, command.actor)
    if outcome is None:
        return Receipt(command.id, command.stream, Status.PENDING.value, url)
    return Receipt(
        command.id,
        command.stream,
        outcome.status.value,
        url,
        version=outcome.version,
        token=_token(command.stream, outcome),
        reason=outcome.reason,
        detail=outcome.detail,
    )


def pending(command: Command, *headers: Header) -> Answer:
    """202, the receipt, and where to ask."""
    body = receipt(command, None)
    location = (b"location", body.status_url.encode())
    return Answer(202, [JSON, location, *headers], ENCODER.encode(body))


def applied(command: Command, outcome: Outcome, created_below: str | None, *headers: Header) -> Answer:
    """201 when something was created (`created_below` is not None), with its path when it has one; else 200."""
    token = str(_token(command.stream, outcome)).encode()
    given = [JSON, (b"headrace-token", token), (b"etag", b'"%d"' % outcome.version), *headers]
    parts = stream_parts(command.stream)
    if created_below and parts is not None:
        given.append((b"location", f"{created_below}{parts.id}".encode()))
    return Answer(200 if created_below is None else 201, given, ENCODER.encode(receipt(command, outcome)))


def refusal(command: Command, outcome: Outcome, *headers: Header) -> Problem:
    """The problem of a rejected or failed command, with the receipt's fields in it.

    A problem's `status` is a number, so the receipt's stands beside it as `outcome`.
    """
    if outcome.status is Status.FAILED:
        code = "failed"
    else:
        code = outcome.reason if outcome.reason in _ANSWERS or outcome.reason not in CODES else "failed"
    fields: dict[str, Any] = structs.asdict(receipt(command, outcome))
    fields["outcome"] = fields.pop("status")
    detail = fields.pop("detail")
    members = {name: value for name, value in fields.items() if value is not None}
    return Problem(code, detail, headers=headers, **members)


def reused(command: Command) -> Problem:
    """The caller used this id for something else before."""
    url = status_url(command.id, command.stream, command.actor)
    return Problem("command_id_reused", command_id=command.id, stream=command.stream, status_url=url)


_ANSWERS: Final = frozenset({"malformed", "unknown_command", "command_id_reused", "version_conflict", "too_large", "limit"})


def statuses_of_commands() -> list[int]:
    """Every HTTP status that a decided command can have."""
    return sorted({200, 201, 202, DOMAIN_STATUS, 500, *(CODES[code][0] for code in _ANSWERS)})


def _token(stream: StreamId, outcome: Outcome) -> str | None:
    return f"{stream}@{outcome.version}" if outcome.status is Status.APPLIED else None
