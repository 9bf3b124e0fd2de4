"""Who asks, under which id, and how long they would wait: what a command's headers say."""

import os
import re
from typing import Final, NamedTuple

from events.ids import MAX_VERSION, CommandId, is_command_id, is_id
from gateway.problems import malformed
from gateway.requests import Request

ANONYMOUS: Final = "anonymous"
MAX_WAIT: Final = 30.0
MAX_PREFER: Final = 500
"""Characters of a header worth reading."""
POOLED: Final = 256
_POOL: Final[list[str]] = []
_PREFERENCE: Final = re.compile(r'\s*([^\s=,;"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?\s*((?:;(?:[^,"]|"(?:[^"\\]|\\.)*")*)?)(?:,|$)')
"""One preference of RFC 7240: name, value, parameters."""
_ETAG: Final = re.compile(r'"(0|[1-9][0-9]{0,18})"')
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]{1,9})?(?:[eE]\+?[0-9]{1,2})?")
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Caller(NamedTuple):
    """What a request says about its sender, beside the command itself."""

    actor: str
    key: CommandId | None
    """The caller's own `Idempotency-Key`."""
    wait: float
    """Seconds the caller would wait for the outcome; 0 when it would not."""
    expected_version: int | None
    correlation_id: str
    traceparent: str
    tenant: str = ""


_NOBODY: Final = Caller(ANONYMOUS, None, 0.0, None, "", "")
_SAID: Final = frozenset({b"traceparent", b"headrace-actor", b"idempotency-key", b"prefer", b"if-match"})


def caller_of(request: Request) -> Caller:
    """From the headers; Problem `malformed` when one is not what it should be."""
    headers = request.headers
    if _SAID.isdisjoint(headers):
        return _NOBODY
    correlation, parent = trace_of(headers[b"traceparent"]) if b"traceparent" in headers else ("", "")
    return Caller(
        actor=actor_of(request) if b"headrace-actor" in headers else ANONYMOUS,
        key=_key(request) if b"idempotency-key" in headers else None,
        wait=_wait(request) if b"prefer" in headers else 0.0,
        expected_version=_expected(request) if b"if-match" in headers else None,
        correlation_id=correlation,
        traceparent=parent,
    )


def new_key() -> CommandId:
    """For a command whose caller gave none: 128 random bits. They are drawn some hundreds at a time: a system call costs more."""
    if not _POOL:
        drawn = os.urandom(16 * POOLED).hex()
        _POOL.extend(drawn[place : place + 32] for place in range(0, len(drawn), 32))
    return CommandId(_POOL.pop())


def actor_of(request: Request) -> str:
    """With auth off a caller is who it says it is."""
    actor = request.header(b"headrace-actor")
    if actor is None:
        return ANONYMOUS
    if not is_id(actor):
        raise malformed("the header Headrace-Actor must be 1-128 of A-Za-z0-9._~-")
    return actor


def trace_of(header: bytes) -> tuple[str, str]:
    """(trace id, traceparent) of a valid W3C `traceparent`; an invalid one is ignored, as its specification asks."""
    given = header.decode("latin-1").strip()
    match = _TRACEPARENT.fullmatch(given)
    return (match[1], given) if match else ("", "")


def seconds(text: str, most: float) -> float:
    """A `wait` parameter, clamped."""
    if not _SECONDS.fullmatch(text):
        raise malformed("wait must be a number of seconds")
    return min(float(text), most)


def _key(request: Request) -> CommandId:
    key = request.header(b"idempotency-key") or ""
    if not is_command_id(key):
        raise malformed("the header Idempotency-Key must be 1-128 of A-Za-z0-9._~:-")
    return CommandId(key)


def _wait(request: Request) -> float:
    """RFC 7240: a preference that is not understood is ignored; of several, the first counts."""
    preferences = request.listed(b"prefer")
    for name, value, _ in _PREFERENCE.findall(preferences) if len(preferences) <= MAX_PREFER else ():
        number = value.strip('"')
        if name.lower() == "wait" and number.isascii() and number.isdigit():
            return min(float(number), MAX_WAIT)
    return 0.0


def _expected(request: Request) -> int:
    match = _ETAG.fullmatch(request.header(b"if-match") or "")
    if match is None or int(match[1]) > MAX_VERSION:
        raise malformed('the header If-Match must be one version in quotes: "3"')
    return int(match[1])
