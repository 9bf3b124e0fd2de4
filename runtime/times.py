"""Points in time: whole microseconds since 1970 in UTC inside, RFC 3339 with microseconds at the edges."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NewType

Micros = NewType("Micros", int)
Clock = Callable[[], Micros]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_MICROSECOND: Final = timedelta(microseconds=1)


def now() -> Micros:
    """The wall clock, for composition roots; everything pure gets time as an argument."""
    return Micros(time.time_ns() // 1000)


def to_datetime(at: Micros) -> datetime:
    """As a timezone-aware datetime; exact."""
    return _EPOCH + timedelta(microseconds=at)


def from_datetime(at: datetime) -> Micros:
    """From a timezone-aware datetime; exact."""
    return Micros((at - _EPOCH) // _MICROSECOND)


def rfc3339(at: Micros) -> str:
    """`2026-01-31T23:59:59.000001Z`: always six digits, always UTC, so that text order is time order."""
    return to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> Micros:
    """Raises ValueError for anything but a full RFC 3339 date-time with a zone."""
    if _RFC3339.fullmatch(text) is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    return from_datetime(datetime.fromisoformat(text.upper()))
