"""A stream as far as it was read: its state, and the ids and outcomes of the commands it has seen."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from events.domain import Decider, Registry
from events.envelope import Commit, Settled
from events.ids import EMPTY, StreamId, Version
from events.outcome import REMEMBERED_SECONDS
from runtime.errors import Fatal
from runtime.times import Micros

WINDOW: Final = 1024
Identity = tuple[str, str]
"""(actor, command id); the tenant is in the stream."""


class BrokenStream(Fatal):
    """The stored commits of a stream do not follow one another."""


class Seen(NamedTuple):
    """A command this stream knows: what it was (fingerprint) and what became of it."""

    fingerprint: str
    version: Version
    reason: str = ""
    detail: str = ""
    at: Micros = Micros(0)
    """When its last event happened; of a command that changed nothing, when the commit that tells of it did, or its own acceptance."""
    no_effect: bool = False
    """Applied, and nothing changed."""

    def holds_for(self, accepted_at: Micros) -> bool:
        """Whether a command accepted then is a repeat. What left no event is remembered for a quarter of an hour only."""
        return (not self.reason and not self.no_effect) or accepted_at <= self.at + REMEMBERED_SECONDS * 1_000_000


class History:
    """One stream, folded. Mutated only by `absorb` and `advance`; `state` itself is immutable."""

    __slots__ = (
        "at",
        "commit_first",
        "commit_previous",
        "decider",
        "floor",
        "grown",
        "seen",
        "snapshot",
        "state",
        "stream",
        "unsettled",
        "version",
        "wrong_snapshot",
    )

    def __init__(self, stream: StreamId, decider: Decider) -> None:
        self.stream = stream
        self.decider = decider
        self.version = EMPTY
        self.commit_first = EMPTY
        """First version of the newest commit: its key."""
        self.commit_previous = EMPTY
        """The key of the commit before it."""
        self.at = Micros(0)
        self.state: Any = decider.initial
        self.seen: dict[Identity, Seen] = {}
        self.floor: Micros | None = None
        """When the newest command that fell out of the window acted: `at` of its `Seen`. None while none fell out."""
        self.unsettled: dict[Identity, Settled] = {}
        """Commands that changed nothing since the newest commit and whose messages may come again."""
        self.snapshot = EMPTY
        """Version of the newest snapshot as far as known here."""
        self.grown = 0
        """Bytes of the events since."""
        self.wrong_snapshot: Any = None
        """`last_version` of a snapshot that could not be used, as it lies there: the next one may take its place."""

    def absorb(self, commits: Iterable[Commit], registry: Registry, window: int | None = WINDOW) -> "History":
        """Fold stored commits on top. `window=None` keeps every id (for redriven and old commands)."""
        for commit in commits:
            if commit.first != self.version + 1 or commit.previous != self.commit_first:
                raise BrokenStream(f"{self.stream}: commit {commit.first} does not follow version {self.version}")
            events = commit.recorded()
            self.remember_settled(commit.settled, events[-1].at if events else self.at, window)
            for recorded in events:
                self.state = self.decider.evolve(self.state, registry.read(recorded.name, recorded.data), recorded.at)
                self.version = Version(self.version + 1)
                self.at = recorded.at
                seen = Seen(recorded.fingerprint, self.version, at=recorded.at)
                self.remember((recorded.actor, recorded.command_id), seen, window)
            if self.version != commit.last:
                raise BrokenStream(f"{self.stream}: commit {commit.first} holds other than its versions")
            self.moved_to(commit.first, len(bytes(commit.events)))
        return self

    def moved_to(self, commit_first: Version, size: int) -> None:
        """The newest commit is now the one with that key, of `size` bytes of events; it told of what was unsettled."""
        self.commit_previous, self.commit_first = self.commit_first, commit_first
        self.grown += size
        self.unsettled.clear()

    def remember_settled(self, settled: Iterable[Settled], at: Micros, window: int | None = WINDOW) -> None:
        """Ids that a commit carries for commands that changed nothing; they come before the commit's own. `at`: of its last event."""
        for each in settled:
            seen = Seen(each.fingerprint, each.version, each.reason, each.detail, max(at, each.accepted_at), no_effect=not each.reason)
            self.remember((each.actor, each.command_id), seen, window)

    def remember(self, identity: Identity, seen: Seen, window: int | None = WINDOW) -> None:
        """A command this stream has seen. The fold and a confirmed draft remember alike."""
        self.seen.pop(identity, None)
        self.seen[identity] = seen
        if window is not None:
            self.forget(window)

    def forget(self, window: int) -> None:
        """All but the newest `window` ids: as if it had been read with that window."""
        while len(self.seen) > window:
            forgotten = self.seen.pop(next(iter(self.seen)))
            self.floor = forgotten.at if self.floor is None else max(self.floor, forgotten.at)
