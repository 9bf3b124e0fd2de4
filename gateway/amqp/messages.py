"""From a message to a command, and from an outcome to the receipt that is sent back. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from msgspec import Struct

from events.envelope import Command
from events.ids import CommandId, is_command_id, is_id
from events.outcome import Outcome
from gateway.answers import ENCODER
from gateway.identity import ANONYMOUS, Caller, trace_of
from gateway.preparing import ExpectedVersion, Posted, Prepared, Preparer
from gateway.problems import Problem, malformed
from gateway.receipts import receipt
from gateway.requests import MAX_BODY, too_large
from gateway.strict_json import read
from runtime.times import Micros

_ENCODINGS: Final = ("", "identity", "utf-8", "utf8")
"""`content_encoding`, which many clients fill with the body's character set."""


class Arrived(NamedTuple):
    """What matters of a message. `tag`: the channel's own number of it, rising."""

    tag: int
    name: str
    """The routing key: the command's name."""
    body: bytes
    content_type: str = ""
    content_encoding: str = ""
    message_id: str = ""
    user_id: str = ""
    """Validated by the broker: it is the name of the connection that published."""
    reply_to: str = ""
    correlation_id: str = ""
    headers: Mapping[str, Any] = MappingProxyType({})
    oversize: bool = False
    """No command is so large: its body was not even kept."""


class Carried(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a message."""

    data: dict[str, Any]
    stream: str | None = None
    expected_version: ExpectedVersion | None = None


class RefusedReceipt(Struct, frozen=True, omit_defaults=True):
    """The reply to a message that was never accepted."""

    command_id: str
    status: str
    code: str
    detail: str = ""


def prepare(arrived: Arrived, preparer: Preparer, at: Micros) -> Prepared:
    """The command that a message carries; Problem when it carries none."""
    _check_kind(arrived)
    if arrived.oversize or len(arrived.body) > MAX_BODY:
        raise too_large(MAX_BODY)
    carried = read(arrived.body, Carried)
    posted = Posted(arrived.name, carried.data, None, carried.stream, carried.expected_version)
    return preparer.posted(posted, _caller(arrived), CommandId(arrived.message_id), at)


def _check_kind(arrived: Arrived) -> None:
    kind, _, rest = arrived.content_type.partition(";")
    charset = rest.lower().replace(" ", "").replace('"', "")
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", "charset=utf8"):
        raise Problem("unsupported_media_type", "content_type must be application/json in UTF-8")
    if arrived.content_encoding.strip().lower() not in _ENCODINGS:
        raise Problem("unsupported_media_type", "the body must not be compressed")


def _caller(arrived: Arrived) -> Caller:
    if not is_command_id(arrived.message_id):
        raise malformed("message_id is the command's id: 1-128 of A-Za-z0-9._~:-")
    if arrived.user_id and not is_id(arrived.user_id):
        raise malformed("user_id must be 1-128 of A-Za-z0-9._~-")
    correlation, parent = trace_of(_traceparent(arrived))
    return Caller(arrived.user_id or ANONYMOUS, CommandId(arrived.message_id), 0.0, None, correlation, parent)


def _traceparent(arrived: Arrived) -> bytes:
    given = arrived.headers.get("traceparent", "")
    return given.encode("ascii", "replace") if isinstance(given, str) else b""


def reply(command: Command, outcome: Outcome | None) -> bytes:
    """The receipt, as HTTP gives it; `outcome` None is pending."""
    return ENCODER.encode(receipt(command, outcome))


def refusal(arrived: Arrived, problem: Problem) -> bytes:
    """What the sender of a dead-lettered message is told."""
    return ENCODER.encode(RefusedReceipt(arrived.message_id, "refused", problem.code, problem.detail or problem.title))
