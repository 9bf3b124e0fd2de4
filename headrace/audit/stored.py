"""I2 and I3 on one stream's commits, one after the other as they lie in the event store. Pure.

What is kept of a stream is its end and its window of ids, however long it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from events.envelope import Commit, Recorded, Settled
from events.history import WINDOW, Identity, Seen
from events.ids import Version
from headrace.audit.findings import Noted
from readmodel.planning import Arrived
from runtime.times import Micros


class _Known(NamedTuple):
    """What a command is known for: where it stands, and what the worker remembers of it."""

    commit: Version
    acted: bool
    seen: Seen


class StoredCheck:
    """One stream. Give it every commit in the order of first versions."""

    def __init__(self, stream: str, noted: Noted) -> None:
        self._stream, self._noted = stream, noted
        self.sound = True
        """Whether what a fold needs is all there: I3 holds."""
        self.last = Version(0)
        self.events = 0
        self._commit = Version(0)
        self._at = Micros(0)
        self._unknown = False
        """The commit before could not be read, so nobody knows where it ends."""
        self._known: dict[Identity, _Known] = {}

    def unreadable(self, first: Version, why: str) -> None:
        """An item that is no commit."""
        self._wrong(f"commit {first} cannot be read: {why}")
        self._commit, self._unknown = first, True

    def take(self, arrived: Arrived) -> Arrived | None:
        """The commit as it can be folded: with the events that are there, however many it should hold. None: there are none."""
        commit = arrived.commit
        self._follows(commit)
        try:
            recorded = _recorded(arrived)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
            self._wrong(f"commit {commit.first} cannot be read: {wrong}")
            return None
        self._times(commit, recorded)
        self._identities(commit, recorded)
        self.events += len(recorded)
        if len(recorded) == commit.last - commit.first + 1:
            return arrived
        self._wrong(f"commit {commit.first} holds {len(recorded)} events for {commit.first}-{commit.last}")
        return Arrived(replace(commit, last=Version(commit.first + len(recorded) - 1))) if recorded else None

    def _follows(self, commit: Commit) -> None:
        """1..n without hole, repeat or overlap, and each commit names the one before it."""
        if commit.first != self.last + 1 and not self._unknown:
            self._wrong(f"commit {commit.first} follows version {self.last}")
        if commit.previous != self._commit:
            self._wrong(f"commit {commit.first} names {commit.previous} as the one before it, not {self._commit}")
        if commit.last < commit.first:
            self._wrong(f"commit {commit.first} ends at {commit.last}")
        self.last, self._commit, self._unknown = commit.last, commit.first, False

    def _times(self, commit: Commit, recorded: Sequence[Recorded]) -> None:
        for version, event in enumerate(recorded, commit.first):
            if event.at <= self._at:
                self._wrong(f"version {version} is not later than the one before it")
                self._at = max(self._at, recorded[-1].at)
                return
            self._at = event.at

    def _identities(self, commit: Commit, recorded: Sequence[Recorded]) -> None:
        """One command, one effect, within the window: its events lie together, and nobody remembers it as without effect."""
        told = recorded[-1].at if recorded else self._at
        for each in commit.settled:
            self._settled(commit, each, told)
        before = None
        for event in recorded:
            identity = (event.actor, event.command_id)
            if identity != before:
                self._acts(commit, identity, event)
            before = identity

    def _settled(self, commit: Commit, settled: Settled, told: Micros) -> None:
        identity = (settled.actor, settled.command_id)
        known = self._known.get(identity)
        if known is not None and known.acted:
            self._twice(
                f"command {settled.command_id} acted in commit {known.commit}, and commit {commit.first} keeps it as without effect"
            )
        seen = Seen(
            settled.fingerprint,
            settled.version,
            settled.reason,
            at=max(told, settled.accepted_at),
            no_effect=not settled.reason,
        )
        self._remember(identity, _Known(commit.first, acted=False, seen=seen))

    def _acts(self, commit: Commit, identity: Identity, event: Recorded) -> None:
        known = self._known.get(identity)
        if known is not None and known.acted:
            self._twice(f"command {identity[1]} acted in commits {known.commit} and {commit.first}")
        elif known is not None and known.seen.holds_for(event.at):  # an event is never older than its command's acceptance
            self._twice(f"command {identity[1]} acted in commit {commit.first}, and commit {known.commit} keeps it as without effect")
        self._remember(identity, _Known(commit.first, acted=True, seen=Seen(event.fingerprint, commit.first, at=event.at)))

    def _remember(self, identity: Identity, known: _Known) -> None:
        """As `events.history` does: an id beyond the window may act again."""
        self._known.pop(identity, None)
        self._known[identity] = known
        if len(self._known) > WINDOW:
            del self._known[next(iter(self._known))]

    def _wrong(self, detail: str) -> None:
        self.sound = False
        self._noted.note("I3", self._stream, detail)

    def _twice(self, detail: str) -> None:
        self._noted.note("I2", self._stream, detail)


def _recorded(arrived: Arrived) -> Sequence[Recorded]:
    """All that are there. Raises msgspec's errors."""
    try:
        return arrived.recorded()
    except msgspec.MsgspecError:
        raise
    except ValueError:  # other than its versions
        return arrived.commit.recorded()
