"""One stream's commits against everything that views say of it: I2, I3, I5, I6 of its rows, and what its events add to sums. Pure.

Each view is held to the fold of what it says it has applied, so that one that lags does not differ. A version at which no commit ends
says nothing: its view is then held to all that is stored, so that a wrong position is not told as wrong content, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from events.domain import Registry
from events.envelope import Commit
from events.ids import StreamId, Version
from headrace.audit.findings import Noted
from headrace.audit.stored import StoredCheck
from readmodel.canonical import differences, digest
from readmodel.control import CACHE
from readmodel.folding import CannotProject, fold
from readmodel.planning import Arrived
from readmodel.projection import POSITION_COLUMNS, Delta, Projection, Row
from readmodel.verdicts import START, Position

LOOSE: Final = frozenset({"fork"})
"""Reasons with which a park may stand anywhere: what contradicts a stream need not lie at its end."""


class Park(NamedTuple):
    """What is said of a stream that stands still."""

    reason: str
    first_version: int


@dataclass(slots=True)
class Standing:
    """What PostgreSQL says of one stream, in one snapshot."""

    positions: dict[str, Position] = field(default_factory=dict)
    """By projector."""
    rows: dict[str, Row] = field(default_factory=dict)
    """Home rows by projection."""
    parks: dict[str, Park] = field(default_factory=dict)
    """By projector."""


class Sink(NamedTuple):
    """Where a judge puts what it finds."""

    noted: Noted
    add: Callable[[Delta], None]
    """What an event adds to a row of sums."""
    doubt: Callable[[Delta, str], None]
    """The sums of this delta rest on a stream that is broken itself."""
    elsewhere: Callable[[str, str], None]
    """(projector, stream): its position is no end of a commit."""
    gone_on: Callable[[str, str, int], None]
    """(projector, stream, version): parked, and has passed what it is parked for. Somebody may just be redriving it."""


class Place:
    """A projector's position on the stream, looked for among its commits."""

    def __init__(self, projector: str, position: Position, park: Park | None) -> None:
        self.projector, self.position, self.park = projector, position, park
        self.sound: bool | None = True if position == START else None
        """None until the commits have come so far."""
        self.passed = position == START
        """A commit that ends at this version has come: the view was made without what comes now."""
        self.next: Commit | None = None
        """The first commit beyond it."""

    def take(self, commit: Commit, head_id: str) -> bool:
        """Whether its view was made with this commit, as far as is known yet."""
        if self.passed:
            self.next = self.next or commit
            return False
        if self.sound is None and commit.last >= self.position.version:
            self.sound = self.position == Position(commit.last, commit.first, head_id)
            self.passed = commit.last == self.position.version
        return True

    def faults(self, last: int) -> list[str]:
        """What is wrong with it, I5, once all commits have come."""
        at = self.position
        if self.sound is None:
            self.sound = False
            return [f"{self.projector} is at version {at.version}, the stream at {last}"]
        if not self.sound:
            return [f"{self.projector} is at version {at.version} of commit {at.commit_first} by {at.head_id!r}, where no such commit ends"]
        return self._park_faults()

    def _park_faults(self) -> list[str]:
        if self.park is None:
            return []
        found = [] if self.park.reason.strip() else [f"{self.projector} has parked it without a reason"]
        if self.next is not None and self.next.last < self.park.first_version and self.park.reason not in LOOSE:
            left = f"{self.next.first}-{self.next.last}"
            found.append(f"{self.projector} has parked it at version {self.park.first_version}, and left out {left} before that")
        return found

    @property
    def has_gone_on(self) -> bool:
        park = self.park
        return park is not None and park.reason not in LOOSE and self.position.version >= park.first_version


class View:
    """A projection's rows of the stream."""

    def __init__(self, projection: Projection, place: Place, found: Row | None) -> None:
        self.projection, self.place, self.found = projection, place, found
        self.fault = ""
        self._row: Row | None = None

    def take(self, registry: Registry, arrived: Arrived, head_id: str) -> Sequence[Delta]:
        """What the commit adds to sums."""
        if not self.place.take(arrived.commit, head_id):
            return ()
        try:
            folded = fold(self.projection, registry, arrived.commit.stream, self._row, [arrived])
        except CannotProject as wrong:
            self.fault = self.fault or f"{self.projection.name}: {wrong.fault.detail}, and it is not parked"
            return ()
        self._row = folded.row
        return folded.deltas

    def faults(self) -> list[str]:
        """What is wrong with its home row, I6."""
        home = self.projection.home
        if self.fault or home is None or self.found is None:
            return [self.fault] if self.fault else []
        if self._row is None:
            return [f"{home.name}: a row that no event made"]
        wanted: Mapping[str, Any] = {**self._row, **{name: self.found[name] for name in POSITION_COLUMNS}}
        if digest(wanted) == digest(self.found):
            return []
        return [f"{home.name}: {each}" for each in differences(wanted, self.found)]


class Judge:
    """One stream. Give it every commit in order, then `end` it."""

    def __init__(self, stream: StreamId, registry: Registry, projections: Sequence[Projection], standing: Standing, sink: Sink) -> None:
        """`projections`: those that can fold it; of others only the positions can be held against it."""
        self._stream, self._registry, self._sink = stream, registry, sink
        self.stored = StoredCheck(stream, sink.noted)
        positions, parks = standing.positions, standing.parks
        self._views = []
        for each in projections:
            name = each.name
            place = Place(name, positions.get(name, START), parks.get(name))
            self._views.append(View(each, place, standing.rows.get(name)))
        mine = [view.projection.name for view in self._views]
        self._others = [Place(name, position, parks.get(name)) for name, position in positions.items() if name not in mine]
        self._touched: list[Delta] = []

    def unreadable(self, first: Version, why: str) -> None:
        """In place of a commit."""
        self.stored.unreadable(first, why)

    def take(self, commit: Commit) -> None:
        """The next one."""
        arrived = self.stored.take(Arrived(commit))
        if arrived is None:
            return
        head_id = arrived.recorded()[-1].command_id
        for place in self._others:
            place.take(commit, head_id)
        for view in self._views:
            for delta in view.take(self._registry, arrived, head_id):
                self._sink.add(delta)
                self._remember(delta)

    def _remember(self, delta: Delta) -> None:
        """What it adds to, should it turn out to be broken; a few are enough to tell of."""
        if len(self._touched) < 8 and all((each.table, each.key) != (delta.table, delta.key) for each in self._touched):
            self._touched.append(delta)

    def end(self) -> None:
        """All commits have come. Of a stream that is broken in the store nothing else is said: views cannot be better than it."""
        if not self.stored.sound:
            for delta in self._touched:
                self._sink.doubt(delta, self._stream)
            return
        for place in [*(view.place for view in self._views), *self._others]:
            self._sink.noted.note_all("I5", self._stream, place.faults(self.stored.last))
            if not place.sound:
                self._sink.elsewhere(place.projector, self._stream)
            elif place.has_gone_on:
                self._sink.gone_on(place.projector, self._stream, place.position.version)
        for view in self._views:
            self._sink.noted.note_all("I6", self._stream, view.faults())
        self._cache()

    def _cache(self) -> None:
        """The cache projector passes only what PostgreSQL holds."""
        cache = next((place for place in self._others if place.projector == CACHE), None)
        rows = [view.place for view in self._views]
        if cache is not None and cache.sound and rows and all(place.sound for place in rows):
            highest = max(place.position.version for place in rows)
            if cache.position.version > highest:
                detail = f"the cache projector says that Redis is at version {cache.position.version}, PostgreSQL is at {highest}"
                self._sink.noted.note("I7", self._stream, detail)
