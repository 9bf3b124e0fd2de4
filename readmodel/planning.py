"""A batch of commits, ordered by stream, and what to do with each stream of it. Pure.

A unit is one stream for one projection. Its commits are judged in order; what follows without a hole is applied, a hole is
filled from the store (the unit then comes again, `fetched`), and a contradiction parks the stream for that projection.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from events.envelope import Commit, Recorded
from events.ids import StreamId, Version
from events.parcel import Stub
from readmodel.projection import Projection
from readmodel.verdicts import START, Position, Verdict, judge


class Arrived:
    """A commit with its events, decoded once however often it is judged."""

    __slots__ = ("_recorded", "commit")

    def __init__(self, commit: Commit) -> None:
        self.commit = commit
        self._recorded: list[Recorded] | None = None

    def recorded(self) -> list[Recorded]:
        """Raises msgspec.DecodeError (of which ValidationError is one) or ValueError when this is no commit of ours."""
        if self._recorded is None:
            recorded = self.commit.recorded()
            if not recorded or len(recorded) != self.commit.last - self.commit.first + 1:
                raise ValueError("holds other than its versions")
            self._recorded = recorded
        return self._recorded


class Fault(NamedTuple):
    """Why a stream is parked: a word that is counted, a sentence for people, the version that could not be applied."""

    reason: str
    detail: str
    version: Version


@dataclass(slots=True)
class Unit:
    """What arrived of one stream for one projection. `until`: the highest version that is known to be in the store."""

    projection: Projection
    stream: StreamId
    commits: list[Arrived]
    until: Version
    fetched: bool = False
    goal: Version | None = None
    """Only of a parked stream that is being redriven: the highest version spoken of before the store was read."""
    final: bool = True
    """Whether the park may end with it; not so for the first pieces of a unit that was cut."""
    later: bool = False
    """Whether a piece of that unit comes before it."""


@dataclass(slots=True)
class Plan:
    """What a unit comes to at a position."""

    apply: list[Arrived] = field(default_factory=list)
    reached: Position = START
    counts: dict[Verdict, int] = field(default_factory=dict)
    missing: bool = False
    fault: Fault | None = None


def by_stream(commits: Iterable[Commit], stubs: Iterable[Stub] = ()) -> dict[StreamId, tuple[list[Arrived], Version]]:
    """Commits of a batch by stream and in order, the same commit once; with the highest version spoken of."""
    seen: dict[StreamId, dict[tuple[Version, Version, bytes], Arrived]] = {}
    highest: dict[StreamId, Version] = {}
    for commit in commits:
        key = (commit.first, commit.last, bytes(commit.events))
        seen.setdefault(commit.stream, {}).setdefault(key, Arrived(commit))
        highest[commit.stream] = max(commit.last, highest.get(commit.stream, commit.last))
    for stub in stubs:
        seen.setdefault(stub.stream, {})
        highest[stub.stream] = max(stub.last, highest.get(stub.stream, stub.last))
    return {stream: ([found[key] for key in sorted(found)], highest[stream]) for stream, found in seen.items()}


def units_of(
    commits: Iterable[Commit],
    stubs: Iterable[Stub],
    projections: Callable[[StreamId], Sequence[Projection]],
) -> list[Unit]:
    """One unit for every (projection, stream) of the batch, sorted by them."""
    units = [
        Unit(projection, stream, arrived, until)
        for stream, (arrived, until) in by_stream(commits, stubs).items()
        for projection in projections(stream)
    ]
    return sorted(units, key=lambda unit: (unit.projection.name, unit.stream))


def plan(unit: Unit, position: Position, *, parked: bool) -> Plan:
    """Judge a unit's commits in order from `position`; one that is being redriven as if it were not parked."""
    done = Plan(reached=position)
    if unit.goal is not None:
        if not unit.fetched:  # it is redriven with what the store holds, and with nothing else
            done.missing = True
            return done
        if parked and unit.until < position.version:
            done.fault = Fault("fork", f"the store ends at version {unit.until}, before {position.version}", position.version)
            return done
        parked = unit.later and unit.commits[0].commit.first > position.version + 1  # by the piece before it, just now
    for arrived in unit.commits:
        verdict, fault = _verdict(arrived, done.reached, parked=parked)
        done.counts[verdict] = done.counts.get(verdict, 0) + 1
        if verdict is Verdict.APPLY:
            done.apply.append(arrived)
            done.reached = Position(arrived.commit.last, arrived.commit.first, arrived.recorded()[-1].command_id)
        elif verdict is Verdict.GAP:
            break
        elif fault is not None:
            done.fault = fault
            return done
    if not parked and done.reached.version < unit.until:
        _hole(unit, done)
    return done


def _verdict(arrived: Arrived, position: Position, *, parked: bool) -> tuple[Verdict, Fault | None]:
    commit = arrived.commit
    try:
        # An old duplicate need not be opened.
        head_id = arrived.recorded()[-1].command_id if commit.last >= position.version and not parked else ""
    except (msgspec.MsgspecError, ValueError, RecursionError) as wrong:
        return Verdict.FORK, Fault("unreadable", f"commit {commit.first}: {wrong}", commit.first)
    verdict = judge(position, commit, head_id, parked=parked)
    if verdict is not Verdict.FORK:
        return verdict, None
    detail = (
        f"commit {commit.first}-{commit.last} after {commit.previous} contradicts version {position.version} "
        f"of commit {position.commit_first}"
    )
    return verdict, Fault("fork", detail, commit.first)


def _hole(unit: Unit, done: Plan) -> None:
    if unit.fetched:
        missing = Version(done.reached.version + 1)
        done.fault = Fault("gap", f"the store has no version {missing}, though {unit.until} exists", missing)
    else:
        done.missing = True


def filled(unit: Unit, stored: Sequence[Commit]) -> Unit:
    """The unit with what the store holds of it beyond its position; what lies beyond `until` comes by itself.

    One that is being redriven is what the store holds, to its head.
    """
    if unit.goal is not None:
        until = max((commit.last for commit in stored), default=Version(0))
        return replace(unit, commits=[Arrived(commit) for commit in stored], until=until, fetched=True)
    merged = by_stream([*(arrived.commit for arrived in unit.commits), *stored])
    arrived = merged[unit.stream][0] if merged else []
    return replace(unit, commits=[a for a in arrived if a.commit.last <= unit.until], fetched=True)


def parts(units: Iterable[Unit], most: int) -> Iterator[list[Unit]]:
    """The units in order, at most `most` events a part, or one for each 4 KiB of them; a unit of more is cut between commits, its pieces
    in parts of their own."""
    part: list[Unit] = []
    events = 0
    for unit in units:
        for piece, size in _pieces(unit, most):
            if part and events + size > most:
                yield part
                part, events = [], 0
            part.append(piece)
            events += size
    if part:
        yield part


def _pieces(unit: Unit, most: int) -> Iterator[tuple[Unit, int]]:
    start, events = 0, 0
    for place, arrived in enumerate(unit.commits):
        size = max(arrived.commit.last - arrived.commit.first + 1, memoryview(arrived.commit.events).nbytes // 4096)
        if place > start and events + size > most:
            earlier = unit.commits[start:place]
            until = Version(max(each.commit.last for each in earlier))
            yield replace(unit, commits=earlier, until=until, final=False, later=unit.later or start > 0), events
            start, events = place, 0
        events += size
    yield replace(unit, commits=unit.commits[start:], later=unit.later or start > 0), events


def merged(missing: Iterable[tuple[Unit, Position]]) -> list[tuple[Unit, Position]]:
    """One unit a (projection, stream) again, from the lowest position, where halving had made several."""
    found: dict[tuple[str, StreamId], tuple[Unit, Position]] = {}
    for unit, position in missing:
        key = (unit.projection.name, unit.stream)
        if key in found:
            other, lowest = found[key]
            until = max(unit.until, other.until)
            unit = replace(unit, commits=[*other.commits, *unit.commits], until=until, fetched=False)  # noqa: PLW2901 - the merged one
            position = min(position, lowest)  # noqa: PLW2901
        found[key] = (unit, position)
    return list(found.values())
