"""What a cached value looks like: `{"format":1,"version":N,"view":…}`. Pure.

The scripts read format and version from its first bytes, so these stand first and in this order. A value of another format, or
one that does not decode, is a miss and is overwritten. A deleted or unknown thing is kept too, as a view that is null: a
tombstone with its version, so that nothing older can take its place, or version 0 for what never was.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

FORMAT: Final = 1
TTL_MS: Final = 600_000
ABSENT_MS: Final = 30_000
"""Of what never was: short, since anybody may ask for any id."""


class Entry(Struct, frozen=True):
    """A cached value: the view as of `version`, or null for what is deleted or never was."""

    format: int
    version: int
    view: Any


_HEAD: Final = re.compile(rb'{"format":1,"version":([0-9]+),')


def version_of(head: object) -> int | None:
    """From a value's first 64 bytes, as the scripts read it; None when it is unreadable."""
    match = _HEAD.match(head) if isinstance(head, bytes) else None
    return int(match[1]) if match else None


def prefix(stack: str, generation: int, cache: int = 1) -> str:
    """Of all keys of what Redis keeps, in its generation `cache`, of a generation of the read model."""
    return f"{stack}:g{generation}:" if cache == 1 else f"{stack}:g{generation}.{cache}:"


def encode(version: int, view: Any) -> bytes:
    """For the cache."""
    return msgspec.json.encode(Entry(FORMAT, version, view))


def ttl_ms(version: int, key: str) -> int:
    """Milliseconds to live; spread by key, so that what was filled together does not expire together."""
    most = TTL_MS if version > 0 else ABSENT_MS
    return most - hash(key) % (most // 8)


def decoder(view: Any) -> Callable[[bytes], "Entry | None"]:
    """A function from a cached value to its entry, with the view decoded as `view`; None when it is unreadable."""
    # One Struct type a view, made once: msgspec checks and builds it in C.
    kind = msgspec.defstruct("Cached", [("format", int), ("version", int), ("view", view | None)], bases=(Entry,), frozen=True)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode

    def read(value: bytes) -> Entry | None:
        try:
            entry: Entry = decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return entry if entry.format == FORMAT and entry.version >= 0 else None

    return read
