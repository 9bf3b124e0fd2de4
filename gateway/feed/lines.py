"""Rows of the feed on their way to many: what is sent of each is made once, whoever wants it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from events.domain import Registry
from events.ids import stream_parts
from gateway.feed import blocks
from readmodel.domains import feeding
from readmodel.feed import Change, Point, told
from readmodel.feed_reading import NEVER
from runtime.logs import get
from runtime.metrics import DISCARDS
from runtime.times import Micros

Subject = tuple[str, str]
"""(what it is called, which one): ("picture_id", "7")."""
_LOG: Final = get("feed")


class Form:
    """How rows become blocks, and what their subjects are called."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._subjects: Mapping[str, str] = {kind: each.subject for kind, each in feeding(registry).items()}
        self.names = sorted(filter(None, set(self._subjects.values())))
        """Of subjects."""

    def subject(self, change: Change) -> Subject | None:
        parts = stream_parts(change.stream)
        called = self._subjects.get(parts.type, "") if parts else ""
        return (called, change.subject) if called and change.subject is not None else None

    def blocks(self, change: Change) -> list[bytes]:
        """One an event; empty for a row that is none of ours: it is counted, and stays where it is."""
        try:
            return [blocks.event(each) for each in told(change, self._registry, self._subjects)]
        except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
            DISCARDS.labels("feed", "unreadable").inc()
            _LOG.error("change not told", action="tell", stream=change.stream, version=change.first, error=str(wrong)[:200])
            return []


class Line:
    """One row."""

    __slots__ = ("_blocks", "_form", "change", "subject")

    def __init__(self, change: Change, form: Form) -> None:
        self.change, self._form = change, form
        self.subject = form.subject(change)
        self._blocks: list[bytes] | None = None

    def blocks(self, after: Point) -> Sequence[bytes]:
        """What of it lies behind `after`."""
        if self.change.end <= after:
            return ()
        if self._blocks is None:
            self._blocks = self._form.blocks(self.change)
        begun = after[:2] == (self.change.transaction, self.change.number)
        return self._blocks[after.events :] if begun else self._blocks


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a follower asked for: one subject or all of them; what was written before `since` is left out."""

    subject: Subject | None = None
    since: Micros = NEVER


class Batch(NamedTuple):
    """What one look brought. `size`: characters of events."""

    end: Point
    lines: Sequence[Line]
    by_subject: Mapping[Subject, Sequence[Line]]
    size: int

    def of(self, wanted: Wanted) -> Sequence[Line]:
        """Lines of the subject; not yet without those that are too old."""
        return self.lines if wanted.subject is None else self.by_subject.get(wanted.subject, ())


def batch_of(lines: Sequence[Line], end: Point) -> Batch:
    by_subject: dict[Subject, list[Line]] = {}
    for line in lines:
        if line.subject is not None:
            by_subject.setdefault(line.subject, []).append(line)
    return Batch(end, lines, by_subject, sum(len(line.change.events) for line in lines))
