"""A batch on its way into one generation, and what it came to."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from events.ids import StreamId
from readmodel.database import Within, database_errors
from readmodel.errors import NoSchema, OtherTables
from readmodel.planning import Fault, Plan, Unit
from readmodel.standing import Standing
from readmodel.verdicts import Position, Verdict
from runtime import logs
from runtime.metrics import DISCARDS

_LOG: Final = logs.get("applying")


@dataclass(slots=True)
class Applied:
    """What a batch came to once it is committed, in the current generation."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    advanced: dict[StreamId, int] = field(default_factory=dict)
    """Streams that moved, and to which version."""
    missing: list[tuple[Unit, Position]] = field(default_factory=list)
    """Units with a hole, and where it begins: in the generation that has the least of it."""
    parked: list[tuple[Unit, Fault]] = field(default_factory=list)

    def count(self, more: Mapping[Verdict, int]) -> None:
        """Without `Counter.update`, which takes long for one word, once a stream."""
        for verdict, number in more.items():
            self.counts[verdict] += number

    def add(self, other: "Applied") -> None:
        self.count(other.counts)
        for stream, version in other.advanced.items():
            self.advanced[stream] = max(version, self.advanced.get(stream, 0))
        self.missing += other.missing
        self.parked += other.parked


@dataclass(slots=True)
class Part:
    """The batch in one generation. `plans`: one a unit; None where it waits for the store's commits."""

    generation: int
    current: bool
    within: Within
    standing: Standing = field(default_factory=Standing)
    plans: list[Plan | None] = field(default_factory=list)
    done: Applied = field(default_factory=Applied)


class Unfit(Exception):  # noqa: N818 - it ends where batches are applied
    """A generation whose tables are not there, or are others."""

    def __init__(self, generation: int, why: NoSchema | OtherTables) -> None:
        super().__init__(str(why))
        self.generation, self.why = generation, why


@contextmanager
def fitting(part: Part) -> Iterator[None]:
    """Around its statements. Raises Unfit where the tables do not fit."""
    try:
        with database_errors():
            yield
    except (NoSchema, OtherTables) as wrong:
        raise Unfit(part.generation, wrong) from wrong


def result(parts: Sequence[Part], missing: list[tuple[Unit, Position]]) -> Applied:
    """What the current generation came to; what others parked is told here, since nobody reads them yet, or any more."""
    shown = next((part for part in parts if part.current), parts[0])
    for part in parts:
        for unit, fault in part.done.parked if not part.current else ():
            DISCARDS.labels("beside", fault.reason).inc()
            _LOG.warning(
                "stream parked beside",
                action="park",
                generation=part.generation,
                stream=unit.stream,
                projection=unit.projection.name,
                reason=fault.reason,
                detail=fault.detail[:200],
            )
    shown.done.missing = missing
    return shown.done
