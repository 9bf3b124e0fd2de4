"""Rows in one form, whichever side they come from, so that they can be compared and hashed. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec
from sqlalchemy import Table

from events.domain import Registry
from events.envelope import Commit
from events.ids import StreamId
from readmodel.folding import Folded, fold
from readmodel.planning import Arrived
from readmodel.projection import POSITION_COLUMNS, Projection
from runtime.times import from_datetime, rfc3339

_SORTED: Final = msgspec.json.Encoder(order="sorted", enc_hook=repr)


def canonical(row: Mapping[str, Any]) -> dict[str, Any]:
    """Columns by name; times as RFC 3339 text."""
    return {name: rfc3339(from_datetime(value)) if isinstance(value, datetime) else value for name, value in sorted(row.items())}


def digest(row: Mapping[str, Any]) -> str:
    """32 hex digits over the row. Rows whose digests differ may still be equal (times of another zone): `differences` knows."""
    return blake2b(_SORTED.encode(row), digest_size=16).hexdigest()


def differences(expected: Mapping[str, Any] | None, found: Mapping[str, Any] | None) -> list[str]:
    """One phrase for each column that differs; whole rows that only one side has."""
    if expected is None or found is None:
        return [] if expected is found else ["no row" if found is None else "a row that no event made"]
    wanted, has = canonical(expected), canonical(found)
    return [
        f"{name} is {_short(has.get(name))}, the events say {_short(wanted.get(name))}"
        for name in sorted(wanted.keys() | has.keys())
        if wanted.get(name) != has.get(name)
    ]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def expected(projection: Projection, registry: Registry, stream: StreamId, commits: Sequence[Commit]) -> Folded:
    """What a stream's commits come to: its whole home row, position included, and its deltas.

    Raises readmodel.folding.CannotProject where the projector would park.
    """
    arrived = [Arrived(commit) for commit in commits]
    folded = fold(projection, registry, stream, None, arrived)
    if folded.row is None or not commits:
        return folded
    place = (stream, commits[-1].last, commits[-1].first, arrived[-1].recorded()[-1].command_id)
    return Folded({**folded.row, **dict(zip(POSITION_COLUMNS, place, strict=True))}, folded.deltas)


def expected_row(table: Table, key: tuple[Any, ...], add: Mapping[str, int], highest: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a delta table that summed deltas come to (see readmodel.folding.summed)."""
    keys = dict(zip(table.primary_key.columns.keys(), key, strict=True))
    rest = {column.name: None if column.nullable else 0 for column in table.columns if column.name not in keys}
    return keys | rest | dict(add) | dict(highest)
