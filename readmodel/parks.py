"""What becomes of parks in a projector's transaction: new ones, those that a redrive ends, and how far a parked stream was spoken of.

A projector acknowledges the later commits of a parked stream, so nobody else will bring them again. Whoever ends a park must know
that it has seen all of them: each is noted in the park's row under the same locks under which the park ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Column, ColumnElement, Delete, Integer, Text, Update, bindparam, case, delete, func, update
from sqlalchemy.dialects.postgresql import Insert, insert

from events.ids import Version
from readmodel.control import PARKED
from readmodel.database import Within
from readmodel.planning import Fault, Plan, Unit
from readmodel.standing import Key, key_of
from readmodel.verdicts import Position, Verdict
from readmodel.writing import given

DETAIL: Final = 500


@dataclass(slots=True)
class Change:
    """What a batch changes in the parks that there are."""

    ended: list[Key] = field(default_factory=list)
    moved: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """(at least what it stands at, at least to which version it was spoken of)."""
    behind: list[tuple[Unit, Position]] = field(default_factory=list)
    """Redriven, but more was spoken of while the store was read: they stay parked and come again."""


def changed(work: Iterable[tuple[Unit, Plan]], parked: Mapping[Key, int], faults: Iterable[tuple[Unit, Fault]]) -> Change:
    """Pure. `parked`: to which version each was spoken of; `faults`: of this batch."""
    change = Change()
    if not parked:
        return change
    again = {key_of(unit) for unit, _ in faults}
    for unit, judged in work:
        key = key_of(unit)
        if key not in parked:
            continue
        if unit.goal is None or Verdict.PARKED in judged.counts:
            if unit.until > parked[key]:
                change.moved[key] = (0, unit.until)
        elif not judged.missing and key not in again:
            if unit.final and parked[key] <= unit.goal:
                change.ended.append(key)
                continue
            change.moved[key] = (judged.reached.version + 1, 0)
            if unit.final:
                change.behind.append((replace(unit, goal=Version(parked[key]), fetched=False), judged.reached))
    return change


async def write_parks(within: Within, generation: int, faults: Iterable[tuple[Unit, Fault]]) -> None:
    """New parks. One that was there is only changed by who redrove it: taken up again, with what stands in the way now."""
    rows: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for unit, fault in sorted(faults, key=lambda each: key_of(each[0])):
        row = {
            "generation": generation,
            "projector": unit.projection.name,
            "stream": unit.stream,
            "reason": fault.reason,
            "detail": storable(fault.detail),
            "first_version": fault.version,
            "last_version": max(fault.version, unit.until),
        }
        rows[unit.goal is not None].append(row)
    if rows[False]:
        await within.execute(insert(PARKED).on_conflict_do_nothing(), rows[False])
    if rows[True]:
        await within.execute(_again(), rows[True])


@lru_cache
def _again() -> Insert:
    put = insert(PARKED)
    new = put.excluded
    set_ = {
        "reason": new.reason,
        "detail": new.detail,
        "first_version": new.first_version,
        "last_version": func.greatest(PARKED.c.last_version, new.last_version),
        "at": case((PARKED.c.first_version == new.first_version, PARKED.c.at), else_=func.now()),
        "discarded_at": None,
    }
    return put.on_conflict_do_update(index_elements=list(PARKED.primary_key.columns), set_=set_)


async def write_changes(within: Within, generation: int, change: Change) -> None:
    """In the transaction that moves the positions."""
    if change.ended:
        await within.execute(_end(), {"of": generation, **_arrays(change.ended)})
    if change.moved:
        keys = sorted(change.moved)
        versions = {"first": [change.moved[key][0] for key in keys], "last": [change.moved[key][1] for key in keys]}
        await within.execute(_move(), {"of": generation, **_arrays(keys), **versions})


def _arrays(keys: Sequence[Key]) -> dict[str, list[str]]:
    return {"names": [projector for projector, _ in keys], "of_streams": [stream for _, stream in keys]}


def _those(*more: Column[Any]) -> tuple[Any, tuple[ColumnElement[bool], ...]]:
    """Keys given as arrays, and the condition that a row of PARKED is one of them."""
    keys = given([Column("names", Text), Column("of_streams", Text), *more])
    same = (PARKED.c.projector == keys.c.names, PARKED.c.stream == keys.c.of_streams)
    return keys, (PARKED.c.generation == bindparam("of", type_=Integer()), *same)


@lru_cache
def _end() -> Delete:
    return delete(PARKED).where(*_those()[1])


@lru_cache
def _move() -> Update:
    keys, same = _those(Column("first", BigInteger), Column("last", BigInteger))
    first, last = func.greatest(PARKED.c.first_version, keys.c.first), func.greatest(PARKED.c.last_version, keys.c.last)
    return update(PARKED).values(first_version=first, last_version=last).where(*same)


def storable(detail: str) -> str:
    """A detail that any PostgreSQL text column takes, whatever the poison was."""
    return detail.encode("ascii", "backslashreplace").decode().replace("\0", "\\0")[:DETAIL]
