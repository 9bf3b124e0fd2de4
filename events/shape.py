"""What a kept state depends on, as a short fingerprint: a snapshot of another shape is not used. Pure."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from runtime.errors import ConfigurationError


def state_shape(state: Any, version: int, names: Iterable[str]) -> str:
    """16 hex digits over the state's type, its version and the stored names it is folded from; empty when no type was given.

    Raises ConfigurationError for a type that msgspec cannot write.
    """
    if state is None:
        return ""
    try:
        schema = _without_words(msgspec.json.schema(state))
    except TypeError as wrong:
        raise ConfigurationError([f"HEADRACE_DOMAIN: a state cannot be kept: {wrong}"]) from wrong
    told = msgspec.json.encode([schema, version, sorted(names)], order="sorted")
    return blake2b(told, digest_size=8).hexdigest()


def _without_words(schema: Any) -> Any:
    """A docstring is no part of the shape."""
    if isinstance(schema, dict):
        return {key: _without_words(value) for key, value in schema.items() if key != "description"}
    return [_without_words(each) for each in schema] if isinstance(schema, list) else schema
